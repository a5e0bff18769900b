from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from import_export.admin import ExportMixin
from import_export.formats.base_formats import Format
from import_export.forms import ExportForm

from clients import actions
from clients.admin import downloads
from clients.admin.client_history import history
from clients.contract.columns import BY_FIELD
from clients.models import Client
from clients.reporting.exports import ClientResource


class Csv(Format):
    """A choice of the export form; the file itself is written by clients.reporting.spreadsheets."""

    kind = "csv"
    title = "CSV"

    def get_title(self) -> str:  # type: ignore[override]
        return self.title

    def get_extension(self) -> str:
        return self.kind

    def can_export(self) -> bool:
        return True


class Xlsx(Csv):
    """The other choice."""

    kind = "xlsx"
    title = "Excel workbook (XLSX)"


class ClientExportForm(ExportForm):
    """The choice of a format, CSV unless somebody chooses."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{**options, "initial": {"format": "0"}})


@admin.register(Client)
class ClientAdmin(ExportMixin, admin.ModelAdmin):  # type: ignore[misc,type-arg]
    list_display = tuple(BY_FIELD)
    list_filter = ("status", "created_at", "updated_at")
    search_fields = ("name", "email", "company", "phone")
    search_help_text = "Search by name, email, company or phone."
    show_full_result_count = False
    fields = tuple(BY_FIELD)

    change_form_template = "clients/client_form.html"

    resource_classes = [ClientResource]
    formats = [Csv, Xlsx]
    export_form_class = ClientExportForm
    export_template_name = "clients/export.html"

    def _do_file_export(
        self, file_format: Format, request: HttpRequest, queryset: Any, export_form: Any = None
    ) -> HttpResponseBase:
        """django-import-export's own, but streamed, logged, and by way of S3 where it is large."""
        kind = file_format.get_extension()
        answer = downloads.table(
            ClientResource().rows(queryset), f"clients-{timezone.localdate():%Y-%m-%d}", kind
        )
        actions.log_about(request.user, Client, "Clients", f"Exported {queryset.count():,} as {kind}.")
        return answer

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any
    ) -> HttpResponse:
        client = options.get("obj")
        context["client_history"] = history(client) if client else []
        return super().render_change_form(request, context, *args, **options)

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:
        """What a person wrote belongs to no run any more: no undo takes it back."""
        obj.changed_by_run = None
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)
