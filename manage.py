#!/usr/bin/env python
"""Django's command line. Works against the running demo's services, found through the data directory."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import OperationalError

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        raise SystemExit(f"plumbline: {error}") from None
    except OperationalError as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no answer"
        raise SystemExit(
            f"plumbline: the database does not answer ({reason}). Start bin/demo, use bin/manage, "
            "or set DATABASE_URL."
        ) from None


if __name__ == "__main__":
    main()
