"""Snapshots of positions, accounts and the portfolio: raw rows in monthly partitions, and hourly rows.

The rows of the earlier table, one per account and minute, move to the new one. See docs/history.md.
"""

from datetime import UTC, datetime

import django.contrib.postgres.indexes
import django.db.models.deletion
import portfolio.models.history
import positions.models.fields
from django.db import migrations, models

MONEY = portfolio.models.history.SnapshotMoney
AMOUNT = positions.models.fields.AmountField
MONTHS_AHEAD = 3

POSITION_FIGURES = """
    quantity numeric(38, 18) NOT NULL, mark_price numeric(38, 18), unrealized_pnl numeric(28, 8),
    realized_pnl numeric(28, 8) NOT NULL, net_pnl numeric(28, 8) NOT NULL, unrealized_pnl_pct numeric(26, 6),
    time_held_minutes numeric(14, 2) NOT NULL, position_size_norm numeric(9, 8)"""
ACCOUNT_FIGURES = """
    open_positions integer NOT NULL, equity numeric(28, 8), equity_known numeric(28, 8),
    venue_equity numeric(28, 8), unrealized_pnl numeric(28, 8), realized_pnl numeric(28, 8) NOT NULL,
    net_pnl numeric(28, 8) NOT NULL, exposure numeric(28, 8), net_exposure numeric(28, 8)"""
PORTFOLIO_FIGURES = """
    accounts smallint NOT NULL, accounts_stale smallint NOT NULL, accounts_incomplete smallint NOT NULL,
    open_positions integer NOT NULL, equity numeric(28, 8), equity_known numeric(28, 8),
    equity_stale numeric(28, 8) NOT NULL, unrealized_pnl numeric(28, 8), realized_pnl numeric(28, 8) NOT NULL,
    net_pnl numeric(28, 8) NOT NULL, exposure numeric(28, 8), net_exposure numeric(28, 8)"""
RAW = {
    "portfolio_positionsnapshot": ("position_id", "bigint", POSITION_FIGURES),
    "portfolio_accountsnapshot": (
        "account_id", "bigint", f"{ACCOUNT_FIGURES}, venue_wallets jsonb NOT NULL DEFAULT '[]'",
    ),
    "portfolio_portfoliosnapshot": ("environment", "varchar(10)", PORTFOLIO_FIGURES),
}
CREATE = [
    statement
    for table, (key, kind, figures) in RAW.items()
    for statement in (
        f"CREATE TABLE {table} ({key} {kind} NOT NULL, at timestamptz NOT NULL, quality smallint NOT NULL,"
        f" {figures}, PRIMARY KEY ({key}, at)) PARTITION BY RANGE (at)",
        f"CREATE INDEX {table}_at ON {table} USING brin (at)",
    )
]
DROP = [f"DROP TABLE {table}" for table in RAW]


def first_months(apps, schema_editor):
    """Make the partitions of every month that has rows to move, of this month and of some more."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute("SELECT min(at) FROM portfolio_snapshot")
        (first,) = cursor.fetchone()
        now = datetime.now(UTC)
        month = (first or now).astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        ahead = 0
        while ahead <= MONTHS_AHEAD:
            later = month.month == 12
            ends = month.replace(year=month.year + later, month=1 if later else month.month + 1)
            for table in RAW:
                cursor.execute(
                    f"CREATE TABLE {table}_y{month:%Y}m{month:%m} PARTITION OF {table}"
                    f" FOR VALUES FROM ('{month:%Y-%m-%d 00:00:00+00}') TO ('{ends:%Y-%m-%d 00:00:00+00}')"
                )
            ahead += month.year * 12 + month.month >= now.year * 12 + now.month
            month = ends


MOVE = """
    INSERT INTO portfolio_accountsnapshot (account_id, at, quality, open_positions, equity, equity_known,
        venue_equity, unrealized_pnl, realized_pnl, net_pnl, exposure, net_exposure, venue_wallets)
    SELECT account_id, at, CASE WHEN equity IS NULL THEN 8 ELSE 0 END, open_positions, equity, equity,
        venue_equity, unrealized_pnl, realized_pnl, realized_pnl, exposure, NULL, venue_wallets
    FROM portfolio_snapshot
"""
MOVE_BACK = """
    INSERT INTO portfolio_snapshot (account_id, at, equity, venue_equity, venue_wallets, unrealized_pnl,
        realized_pnl, exposure, open_positions)
    SELECT account_id, at, equity, venue_equity, venue_wallets, unrealized_pnl, realized_pnl, exposure,
        open_positions
    FROM portfolio_accountsnapshot
"""


def key(model):
    return models.ForeignKey(
        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="+",
        to=model,
    )


def position_fields():
    return [
        ("quantity", AMOUNT()),
        ("mark_price", AMOUNT(null=True)),
        ("unrealized_pnl", MONEY(null=True)),
        ("realized_pnl", MONEY()),
        ("net_pnl", MONEY()),
        ("unrealized_pnl_pct", models.DecimalField(decimal_places=6, max_digits=26, null=True)),
        ("time_held_minutes", models.DecimalField(decimal_places=2, max_digits=14)),
        ("position_size_norm", models.DecimalField(decimal_places=8, max_digits=9, null=True)),
    ]


def account_fields():
    return [
        ("open_positions", models.IntegerField()),
        ("equity", MONEY(null=True)),
        ("equity_known", MONEY(null=True)),
        ("venue_equity", MONEY(null=True)),
        ("unrealized_pnl", MONEY(null=True)),
        ("realized_pnl", MONEY()),
        ("net_pnl", MONEY()),
        ("exposure", MONEY(null=True)),
        ("net_exposure", MONEY(null=True)),
    ]


def portfolio_fields(**raw):
    return [
        ("accounts", models.SmallIntegerField()),
        ("accounts_stale", models.SmallIntegerField(**raw)),
        ("accounts_incomplete", models.SmallIntegerField(**raw)),
        ("open_positions", models.IntegerField()),
        ("equity", MONEY(null=True)),
        ("equity_known", MONEY(null=True)),
        ("equity_stale", MONEY(**raw)),
        ("unrealized_pnl", MONEY(null=True)),
        ("realized_pnl", MONEY()),
        ("net_pnl", MONEY()),
        ("exposure", MONEY(null=True)),
        ("net_exposure", MONEY(null=True)),
    ]


def raw_model(name, named, field, ordering, fields):
    table = f"portfolio_{name.lower()}"
    return migrations.CreateModel(
        name=name,
        fields=[
            ("pk", models.CompositePrimaryKey(named, "at", blank=True, editable=False, primary_key=True, serialize=False)),
            (named.removesuffix("_id"), field),
            ("at", models.DateTimeField()),
            ("quality", models.SmallIntegerField(default=0)),
            *fields,
        ],
        options={
            "ordering": [ordering, "-at"],
            "indexes": [django.contrib.postgres.indexes.BrinIndex(fields=["at"], name=f"{table}_at")],
        },
    )


def hour_model(name, named, field, ordering, fields):
    return migrations.CreateModel(
        name=name,
        fields=[
            ("at", models.DateTimeField()),
            ("last_at", models.DateTimeField()),
            ("snapshots", models.SmallIntegerField()),
            ("quality", models.SmallIntegerField()),
            ("low", MONEY(null=True)),
            ("high", MONEY(null=True)),
            ("pk", models.CompositePrimaryKey(named, "at", blank=True, editable=False, primary_key=True, serialize=False)),
            (named.removesuffix("_id"), field),
            *fields,
        ],
        options={"ordering": [ordering, "-at"]},
    )


class Migration(migrations.Migration):

    dependencies = [
        ("portfolio", "0004_alert_evaluation"),
        ("positions", "0007_no_liquidation"),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(CREATE, reverse_sql=DROP)],
            state_operations=[
                raw_model("PositionSnapshot", "position_id", key("positions.position"), "position", position_fields()),
                raw_model(
                    "AccountSnapshot", "account_id", key("positions.account"), "account",
                    [*account_fields(), ("venue_wallets", models.JSONField(default=list))],
                ),
                raw_model(
                    "PortfolioSnapshot", "environment", models.CharField(max_length=10), "environment",
                    portfolio_fields(default=0),
                ),
            ],
        ),
        migrations.RunPython(first_months, migrations.RunPython.noop),
        migrations.RunSQL(MOVE, reverse_sql=MOVE_BACK),
        hour_model("PositionHour", "position_id", key("positions.position"), "position", position_fields()),
        hour_model("AccountHour", "account_id", key("positions.account"), "account", account_fields()),
        hour_model("PortfolioHour", "environment", models.CharField(max_length=10), "environment", portfolio_fields()),
        migrations.DeleteModel(name="Snapshot"),
    ]
