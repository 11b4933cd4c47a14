"""The chain of anchors: one row each, so that a line that is missing in audit.jsonl is noticed."""

from __future__ import annotations

from django.db import models

from core.storage.guards import append_only


class LedgerAnchor(models.Model):
    """One anchor that was written to audit.jsonl: its number, and the digest of what was signed."""

    number = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    digest = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["number"]
        triggers = append_only()

    def __str__(self) -> str:
        return f"anchor {self.number}"
