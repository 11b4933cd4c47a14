"""The one definition of how amounts are stored."""

from __future__ import annotations

from typing import Any

from django.db import models

DIGITS = 38
PLACES = 18


class AmountField(models.DecimalField):  # type: ignore[type-arg]
    """numeric(38,18), as the book rounds: an amount, quantity, price or rate. None is unknown, never 0."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"] = DIGITS
        kwargs["decimal_places"] = PLACES
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs
