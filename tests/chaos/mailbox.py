"""A mail server that keeps each mail as a file, and can be down, or hang."""

import json
import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend


class Backend(BaseEmailBackend):
    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        folder = Path(os.environ["CHAOS_MAILBOX"])
        for message in email_messages:
            if (folder / "down").exists():
                raise ConnectionRefusedError
            while (folder / "hang").exists():
                time.sleep(0.01)
            mail = {"subject": message.subject, "body": message.body, "to": message.to}
            new = folder / f"{uuid.uuid4()}.new"
            new.write_text(json.dumps(mail))
            new.rename(new.with_suffix(".json"))
        return len(email_messages)
