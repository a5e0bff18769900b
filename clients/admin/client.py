from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from import_export.admin import ExportMixin
from import_export.formats.base_formats import CSV, XLSX
from import_export.forms import ExportForm

from clients.admin.client_history import history
from clients.exports import ClientResource
from clients.models import Client


@admin.register(Client)
class ClientAdmin(ExportMixin, admin.ModelAdmin):  # type: ignore[misc,type-arg]
    list_display = ("name", "email", "company", "phone", "status")
    list_filter = ("status", "created_at", "updated_at")
    search_fields = ("name", "email", "company", "phone")
    search_help_text = "Search by name, email, company or phone."
    show_full_result_count = False
    fields = ("name", "email", "company", "phone", "status")

    change_form_template = "clients/client_form.html"

    resource_classes = [ClientResource]
    formats = [CSV, XLSX]
    export_form_class = ExportForm
    export_template_name = "clients/export.html"
    to_encoding = "utf-8-sig"  # with the mark by which Excel knows UTF-8

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
