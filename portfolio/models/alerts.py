"""Alerts: what is wrong now, what people were told about it, and what nobody wants to hear for a while."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from core.storage.guards import append_only
from positions.models import Account, Instrument, Position
from positions.models.fields import AmountField
from reconciliation.models import Case, Run


class AlertKind(models.TextChoices):
    """What an alert is about."""

    LIQUIDATED = "liquidated", "Liquidated"
    LIQUIDATION_NEAR = "liquidation_near", "Liquidation near"
    DRIFT = "drift", "Drift"
    UNRESOLVED = "unresolved", "Unresolved"
    PROOF_OLD = "proof_old", "Proof too old"
    FEED_SILENT = "feed_silent", "Feed silent"
    LIMIT = "limit", "Limit"
    ALLOCATION = "allocation", "Allocation"
    KEY = "key", "Key"
    QUARANTINE = "quarantine", "Quarantine"
    AUTOMATION_HALTED = "automation_halted", "Automation halted"
    COMPONENT_DOWN = "component_down", "Component down"
    TEST = "test", "Test"


class Severity(models.TextChoices):
    """How urgent an alert is, the most urgent first."""

    CRITICAL = "critical", "Critical"
    WARNING = "warning", "Warning"
    INFO = "info", "Info"


class AlertState(models.TextChoices):
    """The state of an alert. ACKNOWLEDGED: somebody has seen it, and it is still so."""

    RAISED = "raised", "Raised"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    CLEARED = "cleared", "Cleared"


OPEN_STATES = (AlertState.RAISED, AlertState.ACKNOWLEDGED)


class Alert(models.Model):
    """Something that is wrong with one subject, from when it showed to when it was over.

    `subject` identifies what it is about within its kind ("account:3/instrument:5/net"); at most one alert
    of a kind and subject is open. `title` never changes: it is the subject line of every mail about it.
    `summary` says how it stands, in a sentence. `numbers` are the figures as last judged, in JSON types
    (amounts as text); `measure` is the figure by which it is worse or better (more is worse), `usd` what is
    at stake; both None when not known. `told_at`, `told_measure` and `told_severity` are when people were
    last told how it stands, and what; None while nobody was. `judged_at` is when its inputs last allowed a
    judgement; `unjudged_since` is set while they do not. `inhibited_by` is the alert that explains this one:
    while that is open, nobody is told of this one. Nor is anybody before `waits_until`. `urgent_since` is
    when people were first told that it is critical, until somebody acknowledges it; `escalation` counts the
    steps taken since. `recovering_since` is since when its condition no longer holds. `flapping_since` is set
    when it comes and goes: then it stays open until it has been quiet. When it is cleared, `healed` says how
    it healed, and `certificate` is the run whose report proves it (None for what no report proves).
    """

    kind = models.CharField(max_length=20, choices=AlertKind.choices)
    subject = models.CharField(max_length=200)
    account = models.ForeignKey(
        Account, null=True, on_delete=models.PROTECT, related_name="alerts", db_index=False
    )
    instrument = models.ForeignKey(Instrument, null=True, on_delete=models.PROTECT, related_name="+")
    position = models.ForeignKey(Position, null=True, on_delete=models.PROTECT, related_name="+")
    case = models.ForeignKey(Case, null=True, on_delete=models.PROTECT, related_name="+")
    severity = models.CharField(max_length=8, choices=Severity.choices)
    state = models.CharField(max_length=12, choices=AlertState.choices, default=AlertState.RAISED)
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True, default="")
    numbers = models.JSONField(default=dict)
    measure = AmountField(null=True)
    usd = AmountField(null=True)
    raised_at = models.DateTimeField()
    judged_at = models.DateTimeField()
    unjudged_since = models.DateTimeField(null=True)
    recovering_since = models.DateTimeField(null=True)
    flapping_since = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)
    told_measure = AmountField(null=True)
    told_severity = models.CharField(max_length=8, blank=True, default="")
    waits_until = models.DateTimeField(null=True)
    unjudged_told_at = models.DateTimeField(null=True)
    urgent_since = models.DateTimeField(null=True)
    inhibited_by = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="inhibits")
    escalation = models.PositiveSmallIntegerField(default=0)
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.CharField(max_length=150, blank=True, default="")
    cleared_at = models.DateTimeField(null=True)
    certificate = models.ForeignKey(Run, null=True, on_delete=models.PROTECT, related_name="+")
    healed = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject"],
                condition=Q(state__in=OPEN_STATES),
                name="portfolio_alert_one_open",
            ),
            models.CheckConstraint(
                name="portfolio_alert_cleared_iff_over",
                condition=(Q(state="cleared") & Q(cleared_at__isnull=False))
                | (~Q(state="cleared") & Q(cleared_at__isnull=True)),
            ),
        ]
        indexes = [
            models.Index(fields=["kind", "subject", "-raised_at"], name="portfolio_alert_history"),
            models.Index(fields=["account", "-id"], name="portfolio_alert_newest"),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_open(self) -> bool:
        """Return whether it is still so, seen by somebody or not."""
        return self.state != AlertState.CLEARED


class AlertTransitionKind(models.TextChoices):
    """What became of an alert. UNJUDGED: its inputs are too old to say whether it is still so."""

    RAISED = "raised", "Raised"
    WORSENED = "worsened", "Worse"
    REPEATED = "repeated", "Still so"
    UNJUDGED = "unjudged", "Cannot be judged"
    FLAPPING = "flapping", "Comes and goes"
    ACKNOWLEDGED = "acknowledged", "Acknowledged"
    ESCALATED = "escalated", "Escalated"
    CLEARED = "cleared", "Cleared"


class AlertTransition(models.Model):
    """One thing that people are told about an alert, as it was then. Append only.

    `sequence` counts from 1 in each alert: the first is RAISED (or FLAPPING), written when its wait is over.
    An alert that was over within its wait has none. `severity`, `numbers`, `usd` and `text` are those
    of that moment. `batch` is the same for all that one evaluation wrote, `batch_size` is their number: a
    storm is one batch. ESCALATED has its step (1, 2, 3) in `numbers["step"]`.
    """

    alert = models.ForeignKey(Alert, on_delete=models.PROTECT, related_name="transitions", db_index=False)
    sequence = models.PositiveIntegerField()
    kind = models.CharField(max_length=12, choices=AlertTransitionKind.choices)
    at = models.DateTimeField()
    who = models.CharField(max_length=150, blank=True, default="")
    severity = models.CharField(max_length=8, choices=Severity.choices)
    numbers = models.JSONField(default=dict)
    usd = AmountField(null=True)
    text = models.TextField(blank=True, default="")
    batch = models.UUIDField()
    batch_size = models.PositiveIntegerField(default=1)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["alert", "sequence"], name="portfolio_alerttransition_sequence")
        ]
        triggers = append_only()

    def __str__(self) -> str:
        return f"{self.kind} of alert {self.alert_id}"


class AlertEvaluation(models.Model):
    """The one row that whoever evaluates alerts locks: when they were last evaluated, and how long it took.

    `unread` names the inputs that could not be read then.
    """

    at = models.DateTimeField()
    took_ms = models.FloatField(default=0)
    unread = models.JSONField(default=list)

    class Meta:
        constraints = [models.CheckConstraint(name="portfolio_evaluation_one_row", condition=Q(pk=1))]

    def __str__(self) -> str:
        return f"evaluated at {self.at}"


class LadderSetting(models.Model):
    """At which distances to liquidation, in percent of the mark, alerts of some positions begin.

    Of one position, or of an account, an instrument, or both; the narrowest that applies is in force, and
    without any the product's own ladder.
    """

    account = models.ForeignKey(
        Account, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Empty: any."
    )
    instrument = models.ForeignKey(
        Instrument, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Empty: any."
    )
    position = models.ForeignKey(
        Position, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Or just one."
    )
    watch_pct = AmountField(help_text="At or under this distance: info.")
    danger_pct = AmountField(help_text="At or under this distance: warning.")
    critical_pct = AmountField(help_text="At or under this distance: critical.")

    class Meta:
        ordering = ["account", "instrument", "position", "pk"]
        verbose_name = "risk ladder"
        constraints = [
            models.UniqueConstraint(
                fields=["account", "instrument", "position"],
                name="portfolio_ladder_once",
                nulls_distinct=False,
            ),
            models.CheckConstraint(
                name="portfolio_ladder_of_one_thing",
                condition=Q(position__isnull=True) | Q(account__isnull=True, instrument__isnull=True),
            ),
            models.CheckConstraint(
                name="portfolio_ladder_descends",
                condition=Q(critical_pct__gt=0)
                & Q(danger_pct__gt=models.F("critical_pct"))
                & Q(watch_pct__gt=models.F("danger_pct"))
                & Q(watch_pct__lte=100),
            ),
        ]

    def __str__(self) -> str:
        parts = (self.position, self.account, self.instrument)
        return " · ".join(str(part) for part in parts if part is not None) or "every position"


class Mute(models.Model):
    """Nobody is told of some alerts until a time, and why. They are raised, cleared and shown as ever.

    `subject` "" is every subject of the kind; with an `account`, only those of that account. `ended_at` is
    set when somebody ended it early.
    """

    kind = models.CharField(max_length=20, choices=AlertKind.choices)
    subject = models.CharField(max_length=200, blank=True, default="")
    account = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200)
    who = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    until = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.CharField(max_length=150, blank=True, default="")

    class Meta:
        ordering = ["-pk"]
        constraints = [
            models.CheckConstraint(
                name="portfolio_mute_has_an_end", condition=Q(until__gt=models.F("created_at"))
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject} muted"

    def covers(self, *, kind: str, subject: str, account: int | None) -> bool:
        """Return whether it is about such an alert, whatever the time."""
        if self.kind != kind or self.subject not in ("", subject):
            return False
        return self.account_id is None or self.account_id == account
