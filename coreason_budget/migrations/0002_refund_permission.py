from django.db import migrations


class Migration(migrations.Migration):

    dependencies = [
        ('coreason_budget', '0001_initial'),
    ]

    operations = [
        migrations.AlterModelOptions(
            name='spendrecord',
            options={'get_latest_by': 'at', 'permissions': (('refund_spendrecord', 'Can refund spend records'),), 'verbose_name': 'spend record', 'verbose_name_plural': 'spend records'},
        ),
    ]
