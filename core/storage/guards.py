"""What Postgres refuses to do to a table that is only ever appended to, whoever tries."""

from __future__ import annotations

import pgtrigger

MAY_EMPTY = "plumbline.may_empty_the_ledger"
"""A session that sets this to 'on' may TRUNCATE; nothing but the tests' settings does."""


def append_only() -> list[pgtrigger.Trigger]:
    """Return the triggers that refuse UPDATE and DELETE of a row, and TRUNCATE."""
    return [
        pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete),
        pgtrigger.Trigger(
            name="never_emptied",
            level=pgtrigger.Statement,
            when=pgtrigger.Before,
            operation=pgtrigger.Truncate,
            func=f"""
                IF current_setting('{MAY_EMPTY}', true) IS DISTINCT FROM 'on' THEN
                    RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;
                END IF;
                RETURN NULL;
            """,
        ),
    ]
