"""Forget keys that were kept although their venue is read by address: a copy of the database held them too."""

from django.db import migrations


def forget(apps, schema_editor):
    kept = apps.get_model("positions", "Account").objects.filter(venue="hyperliquid").exclude(credentials="")
    for label in kept.values_list("label", flat=True):
        print(f"  the key of {label} is not needed and was removed: replace it at the venue if it can trade")
    kept.update(credentials="")


class Migration(migrations.Migration):
    dependencies = [("positions", "0005_never_emptied")]
    operations = [migrations.RunPython(forget, migrations.RunPython.noop)]
