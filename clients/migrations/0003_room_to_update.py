from django.db import migrations


class Migration(migrations.Migration):
    """Leave three tenths of each page of `clients` free, for new versions of the rows on it.

    A changed client whose new version finds room on its own page needs no new entry in either index
    (PostgreSQL's "heap-only tuples"). docs/adr/0013 has the figures.
    """

    dependencies = [("clients", "0002_groups")]

    operations = [
        migrations.RunSQL(
            "ALTER TABLE clients SET (fillfactor = 70)", "ALTER TABLE clients RESET (fillfactor)"
        )
    ]
