"""Policies carry who set them, and when."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("reconciliation", "0005_case_report")]
    operations = [
        migrations.AddField("policy", "changed_at", models.DateTimeField(null=True)),
        migrations.AddField("policy", "changed_by", models.CharField(blank=True, default="", max_length=200)),
    ]
