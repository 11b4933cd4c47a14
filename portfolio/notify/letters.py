"""Makes the message of what is to be told: its place in the thread, its text, its HTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import css_inline
from django.conf import settings
from django.core import signing
from django.template.loader import render_to_string
from django.urls import reverse

from portfolio.models import AlertTransition, Channel, Delivery, Mail, Purpose, Severity, Subscription
from portfolio.notify import digest, elsewhere, email, messenger, outbox, story, threads
from portfolio.notify.channel import Letter
from portfolio.notify.quiet import clock_text
from portfolio.notify.shared import Shared
from portfolio.notify.sheet import Line, Section, Sheet, text_of
from portfolio.notify.story import Reader, Story
from portfolio.notify.threads import Place

_SALT = "plumbline.unsubscribe"
_TURN_OFF = "https://turn-off.invalid/"
"""Stands in a sheet for the link that is each reader's own."""
_LEVELS = ("act", "watch", "info", "ok")
_inliner = css_inline.CSSInliner(keep_style_tags=True, keep_at_rules=True, load_remote_stylesheets=False)


def address_of(row: Delivery) -> str:
    """Return where a delivery goes; of a messenger its secret address. Raises Refused."""
    if row.channel == Channel.EMAIL:
        return row.recipient.mail_address
    return messenger.target_of(row.subscription)


def shown_address(row: Delivery) -> str:
    """Return where a delivery goes, as it may be shown and kept."""
    if row.channel == Channel.EMAIL:
        return row.recipient.mail_address
    return "" if row.subscription is None else row.subscription.target_label


def letter_of(mail: Mail, row: Delivery) -> Letter:
    """Return a kept message, ready to be sent. Raises Refused where its address cannot be read."""
    return Letter(
        message_id=mail.message_id,
        address=address_of(row),
        subject=mail.subject,
        text=mail.text,
        html=mail.html,
        in_reply_to=mail.in_reply_to,
        references=tuple(mail.references.split()),
        unsubscribe_url=unsubscribe_url(row.subscription) if row.purpose == Purpose.ALERT else "",
        is_urgent=mail.is_urgent,
    )


def compose(told: Sequence[Delivery], *, now: datetime, shared: Shared) -> Mail:
    """Return the message that tells these deliveries of one recipient, not yet saved."""
    first = told[0]
    match first.purpose:
        case Purpose.TEST:
            place, sheet, urgent = _test(first, now)
        case Purpose.DIGEST:
            place, sheet, urgent = _digest(first, now)
        case _:
            place, sheet, urgent = _alerts(told, now, shared)
    text, html = _written(sheet, first, shared)
    return Mail(
        message_id=place.message_id,
        recipient=first.recipient,
        channel=first.channel,
        subject=place.subject,
        thread_subject=place.thread_subject,
        root=place.root,
        in_reply_to=place.in_reply_to,
        references=" ".join(place.references),
        is_urgent=urgent,
        text=text,
        html=html,
        made_at=now,
    )


def _written(sheet: Sheet, row: Delivery, shared: Shared) -> tuple[str, str]:
    """Return a sheet as text and HTML. What differs between readers of one alert is the link that turns
    their rule off: it is put in afterwards, so that the rest is written once.
    """
    text = shared.once(("text", sheet), lambda: text_of(sheet))
    html = shared.once(("html", sheet), lambda: html_of(sheet)) if row.channel == Channel.EMAIL else ""
    url = unsubscribe_url(row.subscription)
    return text.replace(_TURN_OFF, url), html.replace(_TURN_OFF, url)


def html_of(sheet: Sheet) -> str:
    """Return the mail as HTML, its styles written into the elements: some programs drop style sheets."""
    return _inliner.inline(render_to_string("mails/mail.html", {"sheet": sheet}))


# Turning a rule off -----------------------------------------------------------------------------------------


def unsubscribe_url(rule: Subscription | None) -> str:
    """Return the address that turns one rule off by a POST; "" where no rule is behind a mail."""
    if rule is None:
        return ""
    token = signing.dumps(rule.pk, salt=_SALT)
    return f"{settings.PUBLIC_URL}{reverse('alert-unsubscribe', args=(token,))}"


def rule_of(token: str) -> int | None:
    """Return the id of the rule that a token names; None for one that we have not signed. It never expires:
    an old mail's link must work.
    """
    try:
        found = signing.loads(token, salt=_SALT)
    except signing.BadSignature:
        return None
    return found if isinstance(found, int) else None


# Alerts -----------------------------------------------------------------------------------------------------


def _alerts(told: Sequence[Delivery], now: datetime, shared: Shared) -> tuple[Place, Sheet, bool]:
    reader = Reader.of(told[0].recipient, now=now)
    pairs = [(row, _story(row.transition, reader, shared)) for row in told if row.transition is not None]
    pairs.sort(key=lambda pair: (_LEVELS.index(pair[1].level), pair[0].pk))
    rows, stories = [row for row, _ in pairs], [one for _, one in pairs]
    place = _place(rows, stories, shared)
    principal = shared.principal(rows[0].recipient.user)
    but = tuple(row.alert_id for row in rows if row.alert_id is not None)
    lines = shared.once(
        ("elsewhere", principal.accounts, but),
        lambda: elsewhere.two_lines(principal=principal, but=but, now=now),
    )
    rest = Section("Everything else", paragraphs=lines)
    urgent = any(
        row.transition is not None and row.transition.severity == Severity.CRITICAL and not one.is_over
        for row, one in pairs
    )
    sheet = _single(rows[0], stories[0], rest) if len(rows) == 1 else _several(rows, stories, rest)
    return place, sheet, urgent


def _story(transition: AlertTransition, reader: Reader, shared: Shared) -> Story:
    key = ("story", transition.pk, reader.zone.key, reader.with_amounts)
    return shared.once(key, lambda: story.tell(transition, reader))


def _place(rows: Sequence[Delivery], stories: Sequence[Story], shared: Shared) -> Place:
    """Return where a mail stands. See `threads`: the thread is that of the first mail about the alert, also
    when that one listed several.
    """
    alerts = [row.alert_id for row in rows if row.alert_id is not None]
    here = outbox.way(rows[0])
    sent = [one for one in shared.sent if one.alert_id in alerts and outbox.way(one) == here]
    began: dict[int, Mail] = {}
    for row in sent:
        if row.alert_id is not None and row.mail is not None:
            began.setdefault(row.alert_id, row.mail)
    ids = [row.message_id for row in rows]
    domain = email.domain()
    message_id = ids[0] if len(ids) == 1 else threads.storm_id(ids, domain=domain)
    roots = {mail.root for mail in began.values()}
    if len(roots) == 1 and began.keys() == set(alerts):
        start = next(iter(began.values()))
        earlier = [row.mail.message_id for row in sent if row.mail and row.mail.root == start.root]
        return Place(message_id, start.root, start.thread_subject, tuple(dict.fromkeys(earlier)))
    if len(rows) == 1:
        return Place(message_id, threads.root_id(alert=alerts[0], domain=domain), stories[0].title)
    return Place(message_id, message_id, threads.storm_subject([one.title for one in stories]))


def _single(row: Delivery, told: Story, rest: Section) -> Sheet:
    facts = [
        Line("Was at stake" if told.is_over else "At stake", told.money),
        Line("Where", told.where),
        Line("Since", told.since, f"took {told.lasted}" if told.lasted else ""),
    ]
    if told.is_over:
        facts.append(Line("Over at", told.at))
    sections = [
        Section("", tuple(line for line in facts if line.value)),
        Section("Proof", paragraphs=(told.proof,) if told.proof else ()),
        Section(
            "As it was" if told.is_over else "Evidence",
            tuple(Line(one.label, one.value, one.age) for one in told.evidence),
        ),
        Section("Likely cause", paragraphs=(told.cause,) if told.cause else ()),
        Section("What to do", paragraphs=(told.todo,) if told.todo else ()),
        Section("What this does not mean", paragraphs=(told.not_meaning,) if told.not_meaning else ()),
        Section("Before", tuple(Line(line) for line in told.history)),
        rest,
    ]
    links = [Line(link.label, url=link.url) for link in told.links]
    return Sheet(
        state=f"{told.state} after {told.lasted}" if told.is_over else told.state,
        title=told.title,
        headline=told.headline,
        sections=tuple(one for one in sections if one.lines or one.paragraphs),
        level=told.level,
        ribbon=_ribbon([row]),
        footer=_footer(row),
        links=tuple(links[1:]),
        button=links[0] if links else None,
    )


def _several(rows: Sequence[Delivery], stories: Sequence[Story], rest: Section) -> Sheet:
    """One mail that lists all: each with what is wrong, what it is worth, since when, and where to look."""
    over = sum(one.is_over for one in stories)
    counted = ", ".join(
        text
        for text in (
            f"{len(stories) - over} open" if over < len(stories) else "",
            f"{over} over" if over else "",
        )
        if text
    )
    sections = []
    for one in stories:
        facts = [
            Line("At stake", one.money),
            Line("Where", one.where),
            Line("Since", one.since, f"took {one.lasted}" if one.lasted else ""),
            Line("Proof", one.proof),
            Line("Likely cause", one.cause),
            Line("What to do", one.todo),
            *(Line(figure.label, figure.value, figure.age) for figure in one.evidence),
        ]
        head = Line(f"{one.state}: {one.headline}", level=one.level, url=one.links[0].url)
        sections.append(Section(one.title, (head, *(line for line in facts if line.value))))
    sections.append(rest)
    return Sheet(
        state=f"{len(stories)} alerts at once: {counted}",
        title="",
        headline="The most severe first. Each has its own line of what to do; often one cause is behind all.",
        sections=tuple(sections),
        level=stories[0].level,
        ribbon=_ribbon(rows),
        footer=_footer(rows[0]),
        button=Line("All alerts", url=story.absolute("alerts")),
    )


def _ribbon(rows: Sequence[Delivery]) -> str:
    environments = {row.alert.account.environment for row in rows if row.alert and row.alert.account}
    if environments and "live" not in environments:
        return f"{' and '.join(sorted(one.title() for one in environments))}: no real money."
    return ""


def _footer(row: Delivery) -> tuple[Line, ...]:
    rules = Line("Your rules", url=story.absolute("alert-subscriptions"))
    if row.subscription is None:
        why = "You are told because nobody acknowledged it, and you are next in the order of escalation."
        return Line(why), rules
    return (
        Line("You are told by a rule of yours."),
        rules,
        Line("Turn this rule off", url=_TURN_OFF),
    )


# Tests and digests ------------------------------------------------------------------------------------------


def _test(row: Delivery, now: datetime) -> tuple[Place, Sheet, bool]:
    reader = Reader.of(row.recipient, now=now)
    sheet = Sheet(
        state="This is a test",
        title="",
        headline="If you read this where you wanted it, alerts will reach you there too.",
        sections=(
            Section("", (
                Line("Asked for", clock_text(row.queued_at, reader.zone)),
                Line("To", shown_address(row)),
                Line("By", email.where() if row.channel == Channel.EMAIL else "a messenger"),
            )),
        ),
        footer=(Line("Your rules", url=story.absolute("alert-subscriptions")),),
    )  # fmt: skip
    return Place(row.message_id, row.message_id, "Plumbline test"), sheet, False


def _digest(row: Delivery, now: datetime) -> tuple[Place, Sheet, bool]:
    day = digest.day_of(row)
    sheet = digest.sheet_of(recipient=row.recipient, day=day, now=now)
    root = threads.digest_id(day="all", recipient=row.recipient_id, domain=email.domain())
    return Place(row.message_id, root, f"Plumbline daily digest {day.isoformat()}"), sheet, False
