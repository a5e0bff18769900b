"""Clients for spreadsheets, through django-import-export, every cell formula-safe."""

from typing import Any

from import_export import resources
from import_export.fields import Field

from clients.importing.columns import BY_FIELD, TITLES, neutralise
from clients.models import Client


class ClientResource(resources.ModelResource):  # type: ignore[type-arg]
    """The contract's five columns under its titles, so that an export can be uploaded again as it is."""

    class Meta:
        model = Client
        fields = tuple(BY_FIELD)
        export_order = tuple(BY_FIELD)

    def get_export_headers(self, selected_fields: Any = None) -> list[str]:
        return list(TITLES)

    def export_field(self, field: Field, instance: Client, **options: Any) -> str:
        return neutralise(str(super().export_field(field, instance, **options)))
