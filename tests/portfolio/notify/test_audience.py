"""Who hears of what: rules, rights, mutes, quiet hours, escalation, defaults, and kinds that nobody hears."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.contrib.auth.models import Group, User

from core.api import auth
from core.security.scopes import Role
from portfolio.models import AlertKind, Delivery, Mute, Recipient, Subscription
from portfolio.notify import audience, outbox, shared, state
from portfolio.pages import subscriptions
from positions.models import Account
from tests.portfolio.notify.postbox import text_of

pytestmark = pytest.mark.django_db


def seeing(monkeypatch, **accounts):
    """Let people see these accounts only, by name."""
    real = auth.principal_of_user

    def principal(user):
        found = real(user)
        seen = accounts.get(user.username)
        return found if seen is None else auth.Principal(**(vars_of(found) | {"accounts": frozenset(seen)}))

    for module in (audience, shared):
        monkeypatch.setattr(module, "principal_of_user", principal)


def vars_of(principal):
    return {name: getattr(principal, name) for name in ("name", "scopes", "accounts", "tier", "user", "key")}


class TestNobodyHears:
    def test_while_it_is_muted_and_the_list_says_until_when(self, stage, postbox):
        stage.person("ada")
        Mute.objects.create(kind="drift", reason="known, on it", who="user:bob", created_at=stage.now,
                            until=stage.now + timedelta(hours=2))  # fmt: skip
        stage.raised()
        assert stage.deliver().sent == 0
        [row] = Delivery.objects.all()
        assert (row.state, row.why) == ("skipped", "muted until 15 Jan 14:00 UTC: known, on it")

    def test_by_a_rule_that_is_off(self, stage, postbox):
        recipient = stage.person("ada")
        audience.end(subscription_id=recipient.subscriptions.get().pk, who="user:ada", now=stage.now)
        stage.raised()
        assert stage.deliver().sent == 0
        assert Delivery.objects.count() == 0

    def test_by_a_rule_that_was_turned_off_after_it_was_queued(self, stage, postbox):
        recipient = stage.person("ada")
        stage.raised()
        subscriptions.turn_off(rule_id=recipient.subscriptions.get().pk, who="user:ada")
        assert stage.deliver().sent == 0
        assert Delivery.objects.get().why == "the rule was turned off"

    def test_of_an_account_that_they_may_not_see(self, stage, postbox, monkeypatch):
        stage.person("ada")
        stage.person("eve")
        seeing(monkeypatch, eve=[])
        stage.raised()
        stage.deliver()
        assert [to for to, _ in postbox.got] == [["ada@example.com"]]

    def test_of_an_account_that_they_may_not_see_any_more_when_it_is_sent(self, stage, postbox, monkeypatch):
        stage.person("eve")
        stage.raised()
        seeing(monkeypatch, eve=[])
        assert stage.deliver().skipped == 1
        assert postbox.got == []

    @pytest.mark.parametrize("loss", ["switched off", "no role"])
    def test_who_has_left(self, stage, postbox, loss):
        recipient = stage.person("ada")
        if loss == "switched off":
            User.objects.filter(pk=recipient.user_id).update(is_active=False)
        else:
            recipient.user.groups.clear()
        stage.raised()
        assert stage.deliver().sent == 0

    @pytest.mark.parametrize(
        "rule",
        [{"kinds": ["feed_silent"]}, {"accounts": [999_999]}, {"min_severity": "critical"}],
        ids=["another kind", "another account", "a higher severity"],
    )
    def test_whose_rule_is_about_something_else(self, stage, postbox, rule):
        stage.rule(stage.person("ada", rule=False), **rule)
        stage.raised()
        assert stage.deliver().sent == 0


class TestWhatIsAboutNoAccount:
    def test_is_heard_under_rules_of_some_accounts_too(self, stage, postbox):
        stage.rule(stage.person("ada", rule=False), accounts=[stage.account.pk])
        stage.raised(kind="component_down", account=None, severity="critical")
        assert stage.deliver().sent == 1


class TestTwoRulesThatMatch:
    def test_are_one_mail(self, stage, postbox):
        stage.rule(stage.person("ada"))
        stage.raised()
        stage.deliver()
        assert len(postbox.mails) == 1


class TestWhoWasTold:
    def test_hears_how_it_ends_though_it_is_less_severe_by_then(self, stage, postbox):
        stage.rule(stage.person("ada", rule=False), min_severity="critical")
        alert = stage.raised(severity="critical")
        stage.tell(alert, "cleared", severity="info")
        stage.deliver()
        assert Delivery.objects.filter(state="sent").count() == 1


class TestQuietHours:
    NIGHT = {"quiet_from": time(22), "quiet_until": time(7), "zone": "Europe/Zurich"}

    @pytest.fixture
    def night(self, stage):
        stage.now = datetime(2026, 1, 15, 23, 0, tzinfo=UTC)  # midnight in Zurich
        return stage

    def test_hold_warnings_and_tell_them_as_one_mail_afterwards(self, night, postbox):
        night.person("ada", **self.NIGHT)
        night.raised(subject="one", title="DRIFT 1 main")
        night.later(minutes=10)
        night.raised(subject="two", title="DRIFT 2 main")
        assert night.deliver().sent == 0
        night.now = datetime(2026, 1, 16, 5, 59, tzinfo=UTC)
        assert night.deliver().sent == 0
        night.now = datetime(2026, 1, 16, 6, 0, tzinfo=UTC)
        assert night.deliver().sent == 2
        assert postbox.subjects == ["DRIFT 1 main · and 1 more"]

    def test_never_hold_what_is_critical(self, night, postbox):
        night.person("ada", **self.NIGHT)
        night.raised(severity="critical")
        assert night.deliver().sent == 1

    def test_end_for_a_warning_that_becomes_critical(self, night, postbox):
        night.person("ada", **self.NIGHT)
        alert = night.raised()
        night.tell(alert, "worsened", severity="critical")
        night.deliver()
        [mail] = postbox.mails
        assert text_of(mail).startswith("Worse")
        assert night.fates() == [("ada", "skipped"), ("ada", "sent")]

    def test_are_those_of_each_reader(self, night, postbox):
        night.person("ada", **self.NIGHT)
        night.person("bob", **(self.NIGHT | {"zone": "Asia/Tokyo"}))
        night.raised()
        night.deliver()
        assert [to for to, _ in postbox.got] == [["bob@example.com"]]


class TestACriticalAlertThatNobodyAcknowledges:
    def test_goes_to_the_next_person_each_time(self, stage, postbox):
        stage.person("ada")
        stage.person("bob", rule=False, escalation_rank=2)
        stage.person("eve", rule=False, escalation_rank=1)
        alert = stage.raised(severity="critical")
        stage.deliver()
        for step in (1, 2, 3):
            stage.later(minutes=5)
            stage.tell(alert, "escalated", numbers={"step": step})
            stage.deliver()
        told = [to[0].partition("@")[0] for to, _ in postbox.got]
        assert told == ["ada", "eve", "bob", "ada", "eve", "bob"]
        assert text_of(postbox.mails[1]).startswith("Nobody has acknowledged this yet")

    def test_goes_to_admins_where_nobody_is_named(self, stage, postbox):
        stage.person("ada")
        stage.person("root", rule=False, role=Role.ADMIN)
        alert = stage.raised(severity="critical")
        stage.tell(alert, "escalated", numbers={"step": 1})
        stage.deliver()
        assert ["root@example.com"] in [to for to, _ in postbox.got]

    def test_goes_to_nobody_who_may_not_see_the_account(self, stage, postbox, monkeypatch):
        stage.person("ada")
        stage.person("eve", rule=False, escalation_rank=1)
        seeing(monkeypatch, eve=[])
        alert = stage.raised(severity="critical")
        stage.tell(alert, "escalated", numbers={"step": 1})
        stage.deliver()
        assert {to[0] for to, _ in postbox.got} == {"ada@example.com"}


class TestTheFirstRun:
    def test_lets_admins_with_an_address_hear_warnings_and_worse(self, stage, postbox):
        admin = User.objects.create_user("root", email="root@example.com")
        admin.groups.add(Group.objects.get_or_create(name=Role.ADMIN.value)[0])
        User.objects.create_superuser("mute")
        stage.raised()
        stage.deliver()
        assert [to for to, _ in postbox.got] == [["root@example.com"]]

    def test_is_over_once_somebody_decided(self, stage):
        recipient = stage.person("root", role=Role.ADMIN)
        audience.end(subscription_id=recipient.subscriptions.get().pk, who="user:root", now=stage.now)
        assert audience.ensure_defaults(now=stage.now) == 0
        assert Subscription.objects.filter(ended_at=None).count() == 0


class TestAKindThatNobodyHears:
    def test_is_named(self, stage):
        stage.rule(stage.person("ada", rule=False), kinds=["drift", "feed_silent"])
        unheard = audience.unheard()
        assert "Drift" not in unheard
        assert "Liquidation near" in unheard

    def test_is_named_with_the_account_where_only_that_one_is_missing(self, stage, now):
        Account.objects.create(label="second", venue="hyperliquid", environment="live", created_at=now)
        stage.rule(stage.person("ada", rule=False), accounts=[stage.account.pk])
        assert "Drift of second" in audience.unheard()
        assert "Component down" not in audience.unheard()

    def test_is_every_kind_when_the_only_address_is_refused(self, stage):
        stage.person("ada")
        assert audience.unheard() == []
        audience.mark_refused(recipient_id=Recipient.objects.get().pk, address="ada@example.com", why="550",
                              now=stage.now)  # fmt: skip
        assert len(audience.unheard()) == len(AlertKind) - 1

    def test_is_a_problem_in_the_health_line(self, stage, to_smtp):
        to_smtp(25)
        assert "nobody is told of anything" in state.line(stage.now)
        stage.rule(stage.person("ada", rule=False), kinds=["drift"])
        assert "nobody would be told of: Liquidated" in state.line(stage.now)


class TestQueueing:
    @pytest.mark.django_db(transaction=True)
    def test_outside_of_the_alerts_transaction_is_refused(self, stage):
        from django.db.transaction import TransactionManagementError

        alert = stage.alert()
        told = stage.tell(alert)
        with pytest.raises(TransactionManagementError):
            outbox.queue(transition=told, now=stage.now)

    @pytest.mark.django_db(transaction=True)
    def test_is_undone_with_the_transition(self, stage):
        from django.db import transaction

        stage.person("ada")
        with transaction.atomic():
            stage.raised()
            transaction.set_rollback(True)
        assert Delivery.objects.count() == 0
