from django.apps import AppConfig


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import celery  # noqa: F401  (so that tasks sent from anywhere reach our broker)
        from core.values import decimals
        from positions.book.money import CONTEXT

        # Web, worker, stream and commands all set Django up first: none calculates in Python's default of 28
        # digits, in which a product of two amounts of the book is rounded.
        decimals.use_everywhere(CONTEXT)
