"""The audit of imports: the list, and a page for each run with what can be done about it."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timezone import localtime

from clients import actions
from clients.actions import Refused
from clients.admin import downloads, labels, run_page, undo_page, upload
from clients.errors import describe
from clients.models import ImportRun
from clients.reporting.reports import headline, report
from clients.reporting.spreadsheets import TooManyRows
from clients.upkeep import dead_letters

View = Callable[..., HttpResponseBase]


def _by_post(view: View) -> View:
    """Only a POST does it. By GET, as after a login that came between, one sees the run."""

    def guarded(request: HttpRequest, run_id: int) -> HttpResponseBase:
        if request.method != "POST":
            return HttpResponseRedirect(reverse("admin:clients_importrun_change", args=[run_id]))
        return view(request, run_id)

    return guarded


@admin.register(ImportRun)
class ImportRunAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("file", "number", "badge", "what_happened", "uploader", "received")
    list_display_links = ("file",)
    list_filter = ("state", "mode", "trigger", "conflict_policy")
    date_hierarchy = "created_at"
    search_fields = ("key", "uploader", "sha256")
    search_help_text = "Search by file name, uploader or SHA-256."
    show_full_result_count = False
    list_per_page = 50
    change_list_template = "clients/run_list.html"

    @admin.display(description="File", ordering="key")
    def file(self, run: ImportRun) -> str:
        return run.file_name

    @admin.display(description="Run", ordering="id")
    def number(self, run: ImportRun) -> int:
        return run.pk

    @admin.display(description="State", ordering="state")
    def badge(self, run: ImportRun) -> SafeString:
        return labels.badge(run)

    @admin.display(description="What happened")
    def what_happened(self, run: ImportRun) -> str:
        return capfirst(headline(run))

    @admin.display(description="Received", ordering="created_at")
    def received(self, run: ImportRun) -> str:
        return date_format(localtime(run.created_at), "j M Y, H:i e")

    # An audit: nobody adds to it, changes it or deletes from it by hand.
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_urls(self) -> list[URLPattern]:
        def page(route: str, view: View, name: str) -> URLPattern:
            return path(route, self.admin_site.admin_view(view), name=f"clients_importrun_{name}")

        def action(name: str, view: View) -> URLPattern:
            return page(f"<int:run_id>/{name}/", _by_post(view), name.replace("-", "_"))

        return [
            page("upload/", self.upload_view, "upload"),
            page("uploaded/", self.uploaded_view, "uploaded"),
            page("dead-letters/", self.dead_letters_view, "dead_letters"),
            page("<int:run_id>/progress/", self.progress_view, "progress"),
            page("<int:run_id>/rejected.<slug:kind>", self.rejected_view, "rejected"),
            page("<int:run_id>/undo/", self.undo_view, "undo"),
            action("rerun", self.rerun_view),
            action("cancel", self.cancel_view),
            page("<int:run_id>/report.json", self.report_view, "report"),
            action("import-now", self.import_now_view),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may_upload = request.user.has_perm("clients.upload_importrun")
        return super().changelist_view(request, {"title": "Import runs", "may_upload": may_upload})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        run = self._get(request, object_id)
        if run is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined,no-any-return]
        return self._render(request, "clients/run.html", run.file_name, run_page.context(run, request))

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        self._require(request, "clients.upload_importrun")
        return self._render(request, "clients/upload.html", "Upload clients", upload.context(request))

    def uploaded_view(self, request: HttpRequest) -> HttpResponse:
        """Where S3 sends the browser after an upload: on to the run, as soon as there is one."""
        self._require(request, "clients.view_importrun")
        run = upload.uploaded_run(request)
        if request.headers.get("Accept") == "application/json":
            return JsonResponse({"url": run.get_absolute_url() if run else None})
        if run:
            return HttpResponseRedirect(run.get_absolute_url())
        return self._render(request, "clients/uploaded.html", "File received", {})

    def dead_letters_view(self, request: HttpRequest) -> HttpResponse:
        """Deliveries that were given up; by POST, deliver one or all of them again."""
        self._require(request, "clients.view_importrun")
        if request.method == "POST":
            self._require(request, "clients.redrive_importrun")
            return self._discard(request) if "discard" in request.POST else self._redrive(request)
        context: dict[str, Any] = {"may_redrive": request.user.has_perm("clients.redrive_importrun")}
        try:
            context["letters"] = dead_letters.dead_letters()
        except (BotoCoreError, ClientError) as error:
            context["error"] = describe(error)
        return self._render(request, "clients/dead_letters.html", "Failed deliveries", context)

    def _redrive(self, request: HttpRequest) -> HttpResponse:
        page = HttpResponseRedirect(reverse("admin:clients_importrun_dead_letters"))
        try:
            redriven = actions.redrive(request.POST.get("message"), by=request.user)
        except (BotoCoreError, ClientError) as error:
            messages.error(request, f"The worker could not be reached ({describe(error)}). Nothing is lost.")
            return page
        messages.info(request, f"{redriven:,} handed to the worker again.")
        return page

    def _discard(self, request: HttpRequest) -> HttpResponse:
        if actions.discard(request.POST["discard"], by=request.user):
            messages.info(request, "Discarded.")
        else:
            messages.error(request, "It is no longer in the list, or can be delivered again instead.")
        return HttpResponseRedirect(reverse("admin:clients_importrun_dead_letters"))

    def progress_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        self._require(request, "clients.view_importrun")
        return JsonResponse(run_page.progress(get_object_or_404(ImportRun, pk=run_id)))

    def rejected_view(self, request: HttpRequest, run_id: int, kind: str) -> HttpResponseBase:
        run = self._for_action(request, run_id, "clients.view_rejectedrow")
        if kind not in downloads.KINDS:
            raise Http404
        try:
            answer = downloads.rejected_rows(run, kind)
        except TooManyRows as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(run.get_absolute_url())
        actions.log(request.user, run, f"Downloaded the rejected rows of run {run.pk}.")
        return answer

    def undo_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """What an undo would do; by POST, have it done."""
        run = self._for_action(request, run_id, "clients.undo_importrun")
        if request.method == "POST":
            return self._do(request, run, lambda: actions.undo(run, by=request.user))
        return self._render(request, "clients/undo.html", f"Undo run {run.pk}?", undo_page.context(run))

    def rerun_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._for_action(request, run_id, "clients.rerun_importrun")
        return self._do(request, run, lambda: actions.rerun(run, by=request.user))

    def cancel_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._for_action(request, run_id, "clients.rerun_importrun")
        return self._do(request, run, lambda: actions.cancel(run, by=request.user))

    def report_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """The run for scripts: what `--json` prints."""
        run = self._for_action(request, run_id, "clients.view_importrun")
        return JsonResponse(report(run))

    def import_now_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        run = self._for_action(request, run_id, "clients.rerun_importrun")
        return self._do(request, run, lambda: actions.import_now(run, by=request.user))

    def _get(self, request: HttpRequest, object_id: str) -> ImportRun | None:
        """The run, if this person may see it; raises PermissionDenied otherwise."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        run: ImportRun | None = self.get_object(request, object_id)
        return run

    def _render(self, request: HttpRequest, template: str, title: str, context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "title": title}
        return TemplateResponse(request, template, {**shared, **context})

    def _require(self, request: HttpRequest, permission: str) -> None:
        if not request.user.has_perm(permission):
            raise PermissionDenied

    def _for_action(self, request: HttpRequest, run_id: int, permission: str) -> ImportRun:
        run = self._get(request, str(run_id))
        self._require(request, permission)
        if run is None:
            raise Http404
        return run

    def _do(self, request: HttpRequest, run: ImportRun, verb: Callable[[], ImportRun]) -> HttpResponse:
        """Do it and go to the page of the run that came of it; say why where it is refused."""
        try:
            run = verb()
        except Refused as refusal:
            messages.error(request, str(refusal))
        return HttpResponseRedirect(run.get_absolute_url())
