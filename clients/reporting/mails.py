"""The mail about a run: its wording, and sending it from what the import's transaction wrote.

An outbox: `ImportRun.notification` is pending from the commit on, and stays so until a mail server has
taken the mail. A failure to send is recorded on the run and tried again by the reconciler; it never
fails an import. Mails hold line numbers and reasons, never cells.
"""

import logging
from datetime import timedelta
from email.utils import formataddr

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import EmailMultiAlternatives
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.template.loader import render_to_string

from clients.errors import describe
from clients.models.import_run import ImportRun
from clients.models.states import Notification, State, Trigger
from clients.reporting.kinds import problem_kinds
from clients.reporting.reports import headline

logger = logging.getLogger(__name__)

_ROWS_SHOWN = 20
_SENDING_TAKES_AT_MOST = timedelta(minutes=2)
_LONGEST_PAUSE = timedelta(hours=6)


def due() -> QuerySet[ImportRun]:
    """Runs whose mail is to be sent now: pending, nobody is sending it, and no pause after a failure."""
    free = Q(notification_claimed_until=None) | Q(notification_claimed_until__lt=Now())
    return ImportRun.objects.filter(free, notification=Notification.PENDING)


def send(run: ImportRun) -> bool:
    """Send the run's mail if it is due; True when it went out."""
    try:
        claimed = (
            due()
            .filter(pk=run.pk)
            .update(
                notification_claimed_until=Now() + _SENDING_TAKES_AT_MOST,
                notification_attempts=F("notification_attempts") + 1,
            )
        )
        if not claimed:
            return False
        run.refresh_from_db()
        try:
            message(run).send()
        except Exception as error:  # noqa: BLE001 - whatever it is, the import stands
            _update(
                run,
                notification_claimed_until=Now() + _pause_after(run.notification_attempts),
                notification_error=describe(error)[:500],
            )
            logger.warning("mail not sent", extra={"run": run.pk, "error": describe(error)})
            return False
        _update(run, notification=Notification.SENT, notified_at=Now(), notification_error="")
    except Exception as error:  # noqa: BLE001 - the database is gone: the reconciler finds the mail
        logger.error("mail left pending", extra={"run": run.pk, "error": describe(error)})
        return False
    logger.info("mail sent", extra={"run": run.pk})
    return True


def _pause_after(attempts: int) -> timedelta:
    """Two minutes after the first failure, and twice as long after each further one."""
    return min(timedelta(minutes=2 ** min(attempts, 10)), _LONGEST_PAUSE)


def _update(run: ImportRun, **fields: object) -> None:
    """Record how sending went, unless the run has started over: its new attempt has a mail of its own."""
    ImportRun.objects.filter(pk=run.pk, attempt=run.attempt, notification=Notification.PENDING).update(
        **fields
    )


def message(run: ImportRun) -> EmailMultiAlternatives:
    """The mail about a finished run, in plain text and HTML."""
    rows = run.rejected_rows.defer("cells")[:_ROWS_SHOWN]
    problems = [
        {"line": row.line, "message": problem.message} for row in rows for problem in row.read_problems()
    ]
    # Not by `reverse`: a worker has no pages (settings.WORKER).
    page = f"{settings.ADMIN_URL.rstrip('/')}/clients/importrun/{run.pk}/"
    context = {
        "run": run,
        "headline": headline(run),
        "problems": problems,
        "kinds": problem_kinds(run),
        "fault": run.fault_for_mail,
        "notices": [notice.sentence(discreet=True) for notice in run.notices],
        "more": run.rejected > len(rows),
        "url": f"{page}change/",
        "download": f"{page}rejected.csv",
    }
    mail = EmailMultiAlternatives(
        subject=f"{_what_to_do(run)}: {_short(run.file_name)}",
        body=render_to_string("clients/mail/run.txt", context),
        from_email=formataddr(("Client import", settings.DEFAULT_FROM_EMAIL)),
        to=_recipients(run),
    )
    mail.attach_alternative(render_to_string("clients/mail/run.html", context), "text/html")
    return mail


def _what_to_do(run: ImportRun) -> str:
    """What the mail asks for, in a few words."""
    match run.state:
        case State.PARTIAL:
            return "1 row needs correction" if run.rejected == 1 else f"{run.rejected:,} rows need correction"
        case State.REJECTED:
            return "File not imported"
        case State.FAILED:
            return "Import failed"
        case State.SUCCEEDED:
            return "Imported"
    return run.get_state_display()


def _recipients(run: ImportRun) -> list[str]:
    """The address of the house, and the person who uploaded, where the admin knows theirs."""
    addresses = [settings.NOTIFICATION_EMAIL]
    if run.trigger in (Trigger.UPLOAD_PAGE, Trigger.RERUN):
        people = User.objects.filter(username=run.uploader, is_active=True).exclude(email="")
        addresses += [email for email in people.values_list("email", flat=True) if email not in addresses]
    return addresses


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:30]}…{name[-29:]}"
