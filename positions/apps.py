"""The positions app: the book, what venues report about it, and how both are kept in Postgres."""

from django.apps import AppConfig


class PositionsConfig(AppConfig):
    """Label `positions`; everything else is found by name."""

    name = "positions"
    default_auto_field = "django.db.models.BigAutoField"
