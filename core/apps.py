from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from core import checks, trace  # noqa: F401  (checks and signal receivers register on import)
