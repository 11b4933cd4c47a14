from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "core"

    def ready(self) -> None:
        from core import checks  # noqa: F401  (checks register on import)
        from core.tracing import trace  # noqa: F401  (signal receivers register on import)
