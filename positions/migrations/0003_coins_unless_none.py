"""Entries that feed no coin have no `coins`: the planner then knows when the partial index serves."""

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
from django.db import migrations, models

# Going back fills the column in, which the append-only trigger would refuse.
BACK = """
ALTER TABLE positions_entry DISABLE TRIGGER USER;
UPDATE positions_entry SET coins = '{}' WHERE coins IS NULL;
ALTER TABLE positions_entry ENABLE TRIGGER USER;
ALTER TABLE positions_entry ALTER COLUMN coins SET NOT NULL;
"""


class Migration(migrations.Migration):
    dependencies = [("positions", "0002_storage")]

    operations = [
        migrations.RemoveIndex(model_name="entry", name="positions_entry_coins"),
        migrations.RunSQL(
            sql="ALTER TABLE positions_entry ALTER COLUMN coins DROP NOT NULL",
            reverse_sql=BACK,
            state_operations=[
                migrations.AlterField(
                    model_name="entry",
                    name="coins",
                    field=django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(), null=True, size=None
                    ),
                )
            ],
        ),
        migrations.AddIndex(
            model_name="entry",
            index=django.contrib.postgres.indexes.GinIndex(
                condition=models.Q(("coins__isnull", False)), fields=["coins"], name="positions_entry_coins"
            ),
        ),
    ]
