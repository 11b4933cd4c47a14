"""GET /portfolio/limits."""

from decimal import Decimal as D

import pytest
from django.utils import timezone

from portfolio import pipeline
from portfolio.limits import BadLimit
from portfolio.models import AccountDay, Alert, RiskLimit
from portfolio.totals import limit_keeping
from tests.portfolio.api.days import of_others
from tests.positions.api.questions import EndpointQuestions

pytestmark = pytest.mark.django_db


def limit(kind, breach, **fields):
    row = RiskLimit(kind=kind, breach=D(breach), environment="simulated", **fields)
    return limit_keeping.set_limit(row, who="test", now=timezone.now())


class TestTheLimits(EndpointQuestions):
    path = "/portfolio/limits"

    def test_stand_where_the_refresh_measured_them(self, ask, reader, days, redis_server):
        limit("exposure", "100000", warn=D(50_000))
        limit("exposure", "90000", asset="ETH")
        limit("leverage", "2", warn=D(1))
        limit("loss_today", "1000")
        limit("distance", "20", warn=D(30))
        limit("concentration", "95", warn=D(80))
        pipeline.refresh(timezone.now())
        found = ask(reader).json()
        levels = {(one["kind"], one["asset"]): (one["level"], one["value"]) for one in found["limits"]}
        assert levels == {
            ("exposure", ""): ("breach", "137650"), ("exposure", "ETH"): ("ok", "15650"),
            ("leverage", ""): ("warn", "1.3154"), ("loss_today", ""): ("ok", "0"),
            ("distance", ""): ("warn", levels["distance", ""][1]),
            ("concentration", ""): ("warn", "88.63"),
        }  # fmt: skip
        assert found["limit_exceeded"] is True
        (one,) = ask(reader, to="/api/v1/portfolio").json()["environments"]
        assert one["limit_exceeded"] is True

    def test_that_are_breached_are_alerts(self, days, redis_server):
        limit("exposure", "100000")
        pipeline.refresh(timezone.now())
        found = Alert.objects.filter(kind="limit")
        assert [one.subject for one in found] == [f"limit:{RiskLimit.objects.get().pk}"]

    def test_keep_their_level_while_the_figure_is_not_known(self, ask, reader, days, redis_server):
        row = limit("loss_today", "1000")
        RiskLimit.objects.filter(pk=row.pk).update(level="breach")
        AccountDay.objects.all().delete()
        pipeline.refresh(timezone.now())
        (one,) = ask(reader).json()["limits"]
        assert (one["level"], one["value"]) == ("breach", None)
        assert one["why"] == "today's P&L of main is not known"

    def test_of_all_accounts_are_hidden_from_a_key_for_some(self, ask, api_key, days, other, redis_server):
        limit("exposure", "100000")
        limit("exposure", "90000", account=other.account)
        pipeline.refresh(timezone.now())
        found = of_others(ask, api_key, other).json()["limits"]
        assert [one["account"] for one in found] == [other.account.pk]


class TestSettingALimit:
    def test_refuses_what_contradicts_another(self, market):
        limit("exposure", "100000")
        with pytest.raises(BadLimit, match="all together only 100000"):
            limit("exposure", "200000", account=market.account)

    def test_refuses_an_account_of_another_environment(self, market):
        row = RiskLimit(kind="exposure", breach=D(1), environment="live", account=market.account)
        with pytest.raises(BadLimit, match="simulated, not live"):
            limit_keeping.set_limit(row, who="t", now=timezone.now())

    def test_refuses_an_asset_that_nothing_is_traded_in(self, market):
        with pytest.raises(BadLimit, match="no market is known in BTTC"):
            limit("exposure", "90000", asset="BTTC")

    def test_in_the_admin_names_the_field(self, client, admin, db):
        client.force_login(admin)
        form = {"environment": "live", "kind": "exposure", "warn": "200", "breach": "100",
                "hysteresis_pct": "5", "enabled": "on", "account": "", "asset": ""}  # fmt: skip
        answer = client.post("/admin/portfolio/risklimit/add/", form)
        assert "A warning comes below the breach." in answer.content.decode()
        answer = client.post("/admin/portfolio/risklimit/add/", form | {"warn": "50"})
        assert (answer.status_code, RiskLimit.objects.count()) == (302, 1)
