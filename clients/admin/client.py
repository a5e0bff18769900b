from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
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


class StatusFilter(admin.SimpleListFilter):
    """By the statuses that there may be: to ask the table which there are would read all of it."""

    title = parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status, status) for status in settings.IMPORT_STATUSES]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Client]) -> QuerySet[Client]:
        return queryset.filter(status=self.value()) if self.value() else queryset


class ClientForm(forms.ModelForm):  # type: ignore[type-arg]
    """Status is a choice; one from before the statuses changed stays possible."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "status" not in self.fields:  # who may only look
            return
        now = self.instance.status
        others = [now] if now and now not in settings.IMPORT_STATUSES else []
        choices = [(status, status) for status in (*settings.IMPORT_STATUSES, *others)]
        self.fields["status"].widget = forms.Select(choices=choices)


def _quoted(value: str) -> str:
    return f"“{value}”" if value else "empty"


@admin.register(Client)
class ClientAdmin(ExportMixin, admin.ModelAdmin):  # type: ignore[misc,type-arg]
    list_display = tuple(BY_FIELD)
    list_filter = (StatusFilter, "created_at", "updated_at")
    list_per_page = 50
    search_fields = ("name", "email", "company", "phone")
    search_help_text = "Search by name, email, company or phone."
    show_full_result_count = False
    form = ClientForm
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

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """What a person changed, before and after."""
        if add:
            return super().construct_change_message(request, form, formsets, add)
        changes = [
            f"{BY_FIELD[name].title} {_quoted(form.initial[name])} → {_quoted(form.cleaned_data[name])}"
            for name in form.changed_data
            if form.initial[name] != form.cleaned_data[name]
        ]
        return "; ".join(changes) or "No fields changed."

    def save_model(self, request: HttpRequest, obj: Client, form: Any, change: bool) -> None:
        """What a person wrote belongs to no run any more: no undo takes it back."""
        obj.changed_by_run = None
        obj.updated_at = timezone.now()
        super().save_model(request, obj, form, change)
