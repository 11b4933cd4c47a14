from django.apps import AppConfig


class PortfolioConfig(AppConfig):
    name = "portfolio"

    def ready(self) -> None:
        from core.process import health
        from portfolio.notify import checks, state  # noqa: F401  (checks register on import)

        health.ADVICE["mail"] = state.line
