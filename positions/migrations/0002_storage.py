"""Room on the page for rows that are updated in place, so that their indexes are left alone (HOT)."""

from django.db import migrations

FILLFACTORS = {
    "positions_position": 70,
    "positions_balance": 70,
    "positions_accounthead": 50,
    "positions_feedcursor": 50,
    "positions_mark": 50,
    "positions_venuestate": 70,
}


class Migration(migrations.Migration):
    dependencies = [("positions", "0001_initial")]

    operations = [
        migrations.RunSQL(
            sql=f"ALTER TABLE {table} SET (fillfactor = {percent})",
            reverse_sql=f"ALTER TABLE {table} RESET (fillfactor)",
        )
        for table, percent in FILLFACTORS.items()
    ]
