"""System checks of how people are told: which setting is wrong, and what to write instead."""

from __future__ import annotations

from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register

from portfolio.notify import email, state


@register()
def mail_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    return [Error(text, hint=hint, id="plumbline.E010") for text, hint in state.settings_problems()]


@register(Tags.security, deploy=True)
def mail_reaches_people(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    if email.leaves_the_house():
        return []
    return [
        Warning(
            f"Nobody is e-mailed: mails go to {email.where()}.",
            hint="Set EMAIL_URL and EMAIL_FROM (docs/e-mail.md).",
            id="plumbline.W010",
        )
    ]
