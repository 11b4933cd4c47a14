"""Everything else in two lines: what is open beside a mail's subject, and how much is proven. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from core.api.auth import Principal, principal_of_user
from core.templatetags import numbers
from portfolio.models import OPEN_STATES, Alert, Severity
from positions.queries import accounts_in_use
from reconciliation.models import Verdict, VerdictStatus, oldest_proof


def visible_alerts(user: User) -> QuerySet[Alert]:
    """Return the alerts that a person may see: those about no account, and those of their accounts."""
    return alerts_of(principal_of_user(user))


def alerts_of(principal: Principal) -> QuerySet[Alert]:
    """Return the alerts that whoever this is may see."""
    accounts = principal.accounts
    alerts = Alert.objects.select_related("account", "instrument", "case__instrument", "case__account")
    if accounts is None:
        return alerts
    return alerts.filter(Q(account=None) | Q(account__in=accounts))


def two_lines(*, principal: Principal, but: Collection[int], now: datetime) -> tuple[str, str]:
    """Return how many other alerts are open, and how much of what this person may see is proven now."""
    return _open(principal, but, now), _proven(principal, now)


def _open(principal: Principal, but: Collection[int], now: datetime) -> str:
    rows = alerts_of(principal).filter(state__in=OPEN_STATES, inhibited_by=None).exclude(pk__in=but)
    found = list(rows.order_by("raised_at", "pk").values_list("severity", "title", "raised_at")[:200])
    if not found:
        return "No other alert is open."
    counted = Counter(severity for severity, _, _ in found)
    kinds = ", ".join(f"{counted[one]} {one.label.lower()}" for one in Severity if counted[one])
    verb = "alert is" if len(found) == 1 else "alerts are"
    age = numbers.age((now - found[0][2]).total_seconds())
    return f"{len(found)} other {verb} open ({kinds}), the oldest for {age}."


def _proven(principal: Principal, now: datetime) -> str:
    accounts = accounts_in_use(with_manual=False)
    seen = principal.accounts
    if seen is not None:
        accounts = accounts.filter(pk__in=seen)
    verdicts = Verdict.objects.filter(account__in=accounts)
    fresh = Q(status=VerdictStatus.SYNCED, as_of__gte=oldest_proof(now=now))
    total, proven = verdicts.count(), verdicts.filter(fresh).count()
    if not total:
        return "Nothing is compared with a venue yet."
    return f"{proven} of {total} legs and balances are proven now."
