"""The pages of who hears what, of mails and their fate, and the one-click link."""

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from portfolio.models import Delivery, DeliveryState, Mail, Recipient, Subscription
from portfolio.notify import audience, letters

pytestmark = pytest.mark.django_db

ABOUT_ME = {"form": "recipient", "address": "", "zone": "UTC", "with_amounts": "on"}
RULE = {"form": "rule", "rule-channel": "email", "rule-min_severity": "warning"}


@pytest.fixture
def rule(stage):
    return stage.person("nora").subscriptions.get()


class TestTheLinkInAMail:
    def url(self, rule):
        return letters.unsubscribe_url(rule).partition("8000")[2]

    def test_changes_nothing_when_a_program_follows_it(self, client, rule):
        answer = client.get(self.url(rule))
        assert (answer.status_code, b"Turn this rule off?" in answer.content) == (200, True)
        assert Subscription.objects.get().is_on

    def test_turns_one_rule_off_by_a_post_without_a_login_or_a_form_of_ours(self, stage, rule):
        from django.test import Client

        stage.rule(rule.recipient)
        browser = Client(enforce_csrf_checks=True)
        answer = browser.post(self.url(rule), {"List-Unsubscribe": "One-Click"})
        assert answer.status_code == 200
        rule.refresh_from_db()
        assert (rule.is_on, rule.ended_by) == (False, "the link in a mail")
        assert Subscription.objects.filter(ended_at=None).count() == 1

    def test_may_be_used_twice(self, client, rule):
        client.post(self.url(rule))
        assert client.post(self.url(rule)).status_code == 200

    @pytest.mark.parametrize("token", ["x", "MQ:1x:forged", "%00", "a" * 500])
    def test_that_we_did_not_sign_does_nothing(self, client, rule, token):
        assert client.post(f"/alerts/unsubscribe/{token}/").status_code == 404
        assert Subscription.objects.get().is_on


class TestOnesOwnRules:
    def test_are_added_by_the_form(self, as_viewer, viewer, stage):
        Recipient.objects.create(user=viewer, address="vera@example.com")
        given = RULE | {"rule-kinds": ["drift", "feed_silent"], "rule-accounts": [str(stage.account.pk)]}
        assert as_viewer.post(reverse("alert-subscriptions"), given).status_code == 302
        made = Subscription.objects.get()
        assert (made.kinds, made.accounts, made.min_severity) == (
            ["drift", "feed_silent"], [stage.account.pk], "warning",
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"rule-min_severity": "awful"}, "Select a valid choice"),
            ({"rule-kinds": ["weather"]}, "Select a valid choice"),
            ({"rule-accounts": ["987654"]}, "Select a valid choice"),
            ({"rule-channel": "messenger"}, "Select a valid choice"),
        ],
    )
    def test_that_make_no_sense_are_refused_in_place(self, as_viewer, viewer, wrong, said):
        Recipient.objects.create(user=viewer, address="vera@example.com")
        answer = as_viewer.post(reverse("alert-subscriptions"), RULE | wrong)
        assert answer.status_code == 422
        assert said in answer.content.decode()
        assert Subscription.objects.count() == 0

    def test_need_an_address(self, as_viewer):
        answer = as_viewer.post(reverse("alert-subscriptions"), RULE)
        assert "You have no e-mail address" in answer.content.decode()

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            ({"zone": "Mars/Olympus"}, "is no time zone"),
            ({"zone": "../../etc/passwd"}, "is no time zone"),
            ({"address": "not an address"}, "Enter a valid email address"),
            ({"address": "a@example.com\r\nBcc: b@example.com"}, "Enter a valid email address"),
            ({"quiet_from": "22:00"}, "Quiet hours need a beginning and an end"),
            ({"quiet_from": "22:00", "quiet_until": "22:00"}, "must end at another time"),
            ({"digest_at": "25:00"}, "Enter a valid time"),
        ],
    )
    def test_have_no_nonsense_in_where_and_when(self, as_viewer, viewer, wrong, said):
        answer = as_viewer.post(reverse("alert-subscriptions"), ABOUT_ME | wrong)
        assert answer.status_code == 422
        assert said in answer.content.decode()
        assert Recipient.objects.get().zone == "UTC"

    def test_take_where_and_when(self, as_viewer, viewer):
        given = ABOUT_ME | {"zone": "Europe/Zurich", "quiet_from": "22:00", "quiet_until": "07:00",
                            "address": "vera@example.com"}  # fmt: skip
        assert as_viewer.post(reverse("alert-subscriptions"), given).status_code == 302
        found = Recipient.objects.get()
        assert (found.zone, str(found.quiet_until), found.with_amounts) == ("Europe/Zurich", "07:00:00", True)

    def test_are_turned_off_and_on_again(self, as_viewer, viewer, stage):
        rule = stage.rule(Recipient.objects.create(user=viewer, address="vera@example.com"))
        page = reverse("alert-subscription", args=(rule.pk,))
        as_viewer.post(page, {"act": "end"})
        assert not Subscription.objects.get().is_on
        as_viewer.post(page, {"act": "resume"})
        assert Subscription.objects.get().is_on

    def test_send_a_test(self, as_viewer, viewer, stage, postbox):
        rule = stage.rule(Recipient.objects.create(user=viewer, address="vera@example.com"))
        as_viewer.post(reverse("alert-subscription", args=(rule.pk,)), {"act": "test"})
        stage.now = Delivery.objects.get().next_at
        stage.deliver()
        assert postbox.subjects == ["Plumbline test"]

    def test_are_nobody_elses(self, as_viewer, rule):
        answer = as_viewer.post(reverse("alert-subscription", args=(rule.pk,)), {"act": "end"})
        assert answer.status_code == 404
        assert Subscription.objects.get().is_on


class TestTheListOfMails:
    @pytest.fixture
    def sent(self, stage, postbox):
        stage.person("nora")
        stage.raised(title="DRIFT <b>BTC</b> main")
        stage.deliver()
        return Mail.objects.get()

    def test_shows_an_admin_everybodys_with_their_fate(self, as_admin, sent):
        page = as_admin.get(reverse("alert-mails")).content.decode()
        assert "DRIFT &lt;b&gt;BTC&lt;/b&gt; main" in page
        assert "Accepted" in page
        assert "nora@example.com" in page

    def test_shows_an_admin_which_address_is_refused_and_by_which_words(self, as_admin, stage, postbox):
        postbox.refuses["nora@example.com"] = "550 no such user"
        stage.person("nora")
        stage.raised()
        stage.deliver()
        page = as_admin.get(reverse("alert-mails")).content.decode()
        assert "Mail to nora (nora@example.com) is refused: 550 no such user" in page

    def test_shows_others_their_own_only(self, as_viewer, sent):
        assert "nora@example.com" not in as_viewer.get(reverse("alert-mails")).content.decode()
        assert as_viewer.get(reverse("alert-mail", args=(sent.pk,))).status_code == 404
        assert as_viewer.get(reverse("alert-mail-frame", args=(sent.pk,))).status_code == 404

    def test_leads_to_the_mail_as_it_was_sent(self, as_admin, sent):
        page = as_admin.get(reverse("alert-mail", args=(sent.pk,))).content.decode()
        assert re.search(r"<iframe[^>]* sandbox ", page)
        assert sent.message_id.strip("<>") in page

    def test_frames_the_html_so_that_it_can_do_nothing(self, as_admin, sent):
        answer = as_admin.get(reverse("alert-mail-frame", args=(sent.pk,)))
        policy = answer["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
        assert answer["X-Frame-Options"] == "SAMEORIGIN"

    def test_lets_an_admin_try_again_what_was_given_up(self, as_admin, as_viewer, stage, postbox):
        postbox.refuses["nora@example.com"] = "550 no such user"
        stage.person("nora")
        stage.raised()
        stage.deliver()
        row = Delivery.objects.get()
        Delivery.objects.update(queued_at=timezone.now())
        assert as_viewer.post(reverse("alert-mail-retry", args=(row.pk,))).status_code == 403
        page = as_admin.get(reverse("alert-mails")).content.decode()
        assert "1 messages were given up" in page
        assert "is refused: 550 no such user" in page
        as_admin.post(reverse("alert-mail-retry", args=(row.pk,)))
        assert Delivery.objects.get().state == DeliveryState.QUEUED

    def test_refuses_a_cursor_that_is_none(self, as_admin):
        assert as_admin.get(reverse("alert-mails"), {"after": "x"}).status_code == 400


class TestTheApi:
    URL = "/api/v1/alerts/subscriptions"

    @pytest.fixture
    def vera(self, viewer):
        return audience.recipient_of(viewer)

    def test_adds_lists_and_turns_off(self, as_viewer, viewer, vera, stage):
        audience.save_recipient(recipient=_with(vera, address="vera@example.com"), fields=["address"])
        made = as_viewer.post(self.URL, {"kinds": ["drift"]}, content_type="application/json")
        assert made.status_code == 201
        pk = made.json()["id"]
        off = as_viewer.patch(f"{self.URL}/{pk}", {"on": False}, content_type="application/json")
        assert (off.json()["on"], off.json()["ended_by"]) == (False, "user:vera")
        assert [one["id"] for one in as_viewer.get(self.URL).json()["items"]] == [pk]

    def test_refuses_a_person_without_an_address(self, as_viewer):
        answer = as_viewer.post(self.URL, {}, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (422, "no_address")

    def test_refuses_an_account_that_is_not_there(self, as_viewer, viewer, vera):
        audience.save_recipient(recipient=_with(vera, address="vera@example.com"), fields=["address"])
        answer = as_viewer.post(self.URL, {"accounts": [987654]}, content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_accounts")

    def test_lets_no_key_without_admin_change_who_is_told(self, client, api_key, rule):
        answer = client.post(self.URL, {}, content_type="application/json", headers=api_key())
        assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")

    def test_shows_nobody_the_rules_of_others(self, as_viewer, rule):
        assert as_viewer.get(self.URL).json()["items"] == []
        answer = as_viewer.patch(f"{self.URL}/{rule.pk}", {"on": False}, content_type="application/json")
        assert answer.status_code == 404


def _with(recipient, **fields):
    for name, value in fields.items():
        setattr(recipient, name, value)
    return recipient
