"""Security events; keys that end, whose accounts and revocation are unambiguous; people who stay."""

from datetime import timedelta

import django.contrib.postgres.fields
import django.db.models.deletion
import django.utils.timezone
import pgtrigger.compiler
import pgtrigger.migrations
from django.conf import settings
from django.db import migrations, models
from django.utils import timezone


PEOPLE_STAY = """
CREATE FUNCTION plumbline_people_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'people are switched off, never deleted';
END $$;
CREATE TRIGGER plumbline_people_stay BEFORE DELETE ON auth_user
    FOR EACH ROW EXECUTE FUNCTION plumbline_people_stay();
"""
PEOPLE_MAY_GO = """
DROP TRIGGER plumbline_people_stay ON auth_user;
DROP FUNCTION plumbline_people_stay();
"""


def complete(apps, schema_editor):
    """Until now an empty list of accounts meant all, and a key without an end never expired."""
    keys = apps.get_model("core", "ApiKey").objects
    keys.filter(accounts=[]).update(accounts=None)
    keys.filter(expires_at=None).update(expires_at=timezone.now() + timedelta(days=90))
    for name, prefix in keys.filter(owner=None, revoked_at=None).values_list("name", "prefix"):
        print(f"  the key {name} ({prefix}) has no owner and is not usable until an admin sets one")


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0002_roles'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='SecurityEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('at', models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ('act', models.CharField(max_length=40)),
                ('who', models.CharField(max_length=200)),
                ('subject', models.CharField(max_length=200)),
                ('before', models.JSONField(null=True)),
                ('after', models.JSONField(null=True)),
                ('address', models.CharField(max_length=45)),
                ('trace_id', models.CharField(max_length=64)),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.AlterField(
            model_name='apikey',
            name='accounts',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.BigIntegerField(), blank=True, help_text='Ids of the accounts that this key may see; an empty list is none, null is all.', null=True, size=None),
        ),
        migrations.RunPython(complete, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='apikey',
            name='expires_at',
            field=models.DateTimeField(),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='owner',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='api_keys', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='revoked_at',
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AlterField(
            model_name='apikey',
            name='scopes',
            field=django.contrib.postgres.fields.ArrayField(base_field=models.CharField(choices=[('read', 'read'), ('write', 'write'), ('correct', 'correct'), ('reconcile', 'reconcile'), ('admin', 'admin')], max_length=16), help_text="At most these; never more than the owner's role allows at the time.", size=None),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='apikey',
            trigger=pgtrigger.compiler.Trigger(name='revoked_for_ever', sql=pgtrigger.compiler.UpsertTriggerSql(condition='WHEN (OLD."revoked_at" IS NOT NULL)', func="RAISE EXCEPTION 'pgtrigger: Cannot update rows from % table', TG_TABLE_NAME;", hash='4434444079ea80ae947fc040023aff7ab7c523ff', operation='UPDATE', pgid='pgtrigger_revoked_for_ever_dd285', table='core_apikey', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='apikey',
            trigger=pgtrigger.compiler.Trigger(name='never_deleted', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot delete rows from % table', TG_TABLE_NAME;", hash='31febe0fba1cd88f4802302afad74b1f749f47af', operation='DELETE', pgid='pgtrigger_never_deleted_2bd23', table='core_apikey', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='securityevent',
            trigger=pgtrigger.compiler.Trigger(name='append_only', sql=pgtrigger.compiler.UpsertTriggerSql(func="RAISE EXCEPTION 'pgtrigger: Cannot update or delete rows from % table', TG_TABLE_NAME;", hash='49ab580c4d1374f78d40056b27eb33a91f78e58d', operation='UPDATE OR DELETE', pgid='pgtrigger_append_only_84bc2', table='core_securityevent', when='BEFORE')),
        ),
        pgtrigger.migrations.AddTrigger(
            model_name='securityevent',
            trigger=pgtrigger.compiler.Trigger(name='never_emptied', sql=pgtrigger.compiler.UpsertTriggerSql(func="\n                IF current_setting('plumbline.may_empty_the_ledger', true) IS DISTINCT FROM 'on' THEN\n                    RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;\n                END IF;\n                RETURN NULL;\n            ", hash='4c8af45965729a37e0229f24fe709fa3d870ee3d', level='STATEMENT', operation='TRUNCATE', pgid='pgtrigger_never_emptied_22ba5', table='core_securityevent', when='BEFORE')),
        ),
        migrations.RunSQL(PEOPLE_STAY, PEOPLE_MAY_GO),
    ]
