"""The rights that the admin asks for, and two ready-made groups that hold them."""

from django.contrib.auth.management import create_permissions
from django.db import migrations

GROUPS = {
    "Import viewer": ["view_importrun", "view_client"],
    "Import operator": [
        "view_importrun",
        "upload_importrun",
        "rerun_importrun",
        "undo_importrun",
        "redrive_importrun",
        "view_rejectedrow",
        "view_client",
        "add_client",
        "change_client",
        "export_client",
    ],
}


def create_groups(apps, schema_editor):
    # Django creates permissions only after the last migration, which is too late for a group made here.
    app_config = apps.get_app_config("clients")
    models_module = getattr(app_config, "models_module", None)
    app_config.models_module = True
    create_permissions(app_config, apps=apps, verbosity=0, using=schema_editor.connection.alias)
    app_config.models_module = models_module
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="clients")
    for name, codenames in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.set(permissions.filter(codename__in=codenames))


def delete_groups(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=GROUPS).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("clients", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(create_groups, delete_groups)]
