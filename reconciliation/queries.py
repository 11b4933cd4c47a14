"""Reads of runs and verdicts."""

from __future__ import annotations

from django.db.models import QuerySet

from reconciliation.models import Run, Verdict


def verdicts(*, account: int) -> QuerySet[Verdict]:
    """Return an account's verdicts with their instruments."""
    return Verdict.objects.filter(account=account).select_related("instrument").order_by("pk")


def last_run(*, account: int) -> Run | None:
    """Return the newest run of an account."""
    return Run.objects.filter(account=account).order_by("-started_at", "-pk").first()
