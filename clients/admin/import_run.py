"""The audit of imports: the list, and a page for each run with what can be done about it."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from clients import actions
from clients.actions import Refused
from clients.admin import labels, run_page
from clients.models import ImportRun

COUNTS = ("inserted", "updated", "unchanged", "rejected")


@admin.register(ImportRun)
class ImportRunAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("file", "badge", "mode", *COUNTS, "uploader", "received")
    list_display_links = ("file",)
    list_filter = ("state", "mode", "trigger", "conflict_policy")
    date_hierarchy = "created_at"
    search_fields = ("key", "uploader", "sha256")
    search_help_text = "Search by file name, uploader or SHA-256."
    show_full_result_count = False
    list_per_page = 50

    @admin.display(description="File", ordering="key")
    def file(self, run: ImportRun) -> str:
        return run.file_name

    @admin.display(description="State", ordering="state")
    def badge(self, run: ImportRun) -> SafeString:
        return labels.badge(run)

    @admin.display(description="Received", ordering="created_at")
    def received(self, run: ImportRun) -> Any:
        return run.created_at

    # An audit: nobody adds to it, changes it or deletes from it by hand.
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        def action(name: str, view: Callable[..., HttpResponse]) -> URLPattern:
            guarded = require_POST(self.admin_site.admin_view(view))
            return path(f"<int:run_id>/{name}/", guarded, name=f"clients_importrun_{name.replace('-', '_')}")

        return [
            action("rerun", self.rerun_view),
            action("import-now", self.import_now_view),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        run = self._get(request, object_id)
        if run is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": run.file_name,
            **run_page.context(run, request),
        }
        return TemplateResponse(request, "clients/run.html", context)

    def rerun_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._for_action(request, run_id, "clients.rerun_importrun")
        return self._do(request, run, lambda: actions.rerun(run, by=request.user))

    def import_now_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._for_action(request, run_id, "clients.rerun_importrun")
        return self._do(request, run, lambda: actions.import_now(run, by=request.user))

    def _get(self, request: HttpRequest, object_id: str) -> ImportRun | None:
        """The run, if this person may see it; raises PermissionDenied otherwise."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run: ImportRun | None = self.get_object(request, object_id)
        return run

    def _for_action(self, request: HttpRequest, run_id: int, permission: str) -> ImportRun:
        run = self._get(request, str(run_id))
        if run is None or not request.user.has_perm(permission):
            raise PermissionDenied
        return run

    def _do(self, request: HttpRequest, run: ImportRun, verb: Callable[[], ImportRun]) -> HttpResponse:
        """Do it and go to the page of the run that came of it; say why where it is refused."""
        try:
            run = verb()
        except Refused as refusal:
            messages.error(request, str(refusal))
        return HttpResponseRedirect(run.get_absolute_url())
