"""One round: files, events, faults; then time passes, and everything is compared with the model."""

import hashlib
import random
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

from tests.chaos.files import File, random_file
from tests.chaos.lambda_service import Delivery, LambdaService
from tests.chaos.model import Before, Client, Clients, Observed, serial_orders
from tests.chaos.world import BUCKET, PREFIX, World

_RECONCILE = "tests.chaos.sandbox_functions.reconcile"
_COUNTS = re.compile(r"^(?:Read|New|Updated|Unchanged|Rejected) +([\d,]+)$", re.MULTILINE)
_IMPORTED = ("succeeded", "partial")


class Wrong(AssertionError):
    """Something is not as the model says."""


@dataclass
class Upload:
    """One uploaded version; of several of one key `rank` counts up."""

    key: str
    rank: int
    file: File
    version: str
    event: dict[str, Any]
    delivered: bool = True


@dataclass
class Round:
    """A round's plan, from its seed alone."""

    world: World
    seed: int
    uploads: list[Upload] = field(default_factory=list)
    start: Clients = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.policy = self.rng.choice(("reject", "update"))
        # Every fifth round has no faults but doubled and shuffled events: there exactly one mail may go out.
        self.faults = 0.0 if self.rng.random() < 0.2 else self.rng.choice((0.2, 0.5, 0.8))
        self.service = LambdaService(
            self.world,
            self.rng,
            parallel=self.rng.randint(1, 4),
            settings={"IMPORT_ON_CONFLICT": self.policy, "RECONCILE_AFTER_SECONDS": 0},
        )

    def play(self) -> dict[str, int]:
        """Raises Wrong when anything is not as it must be; returns what happened."""
        try:
            self.world.clear()
            self._have_clients()
            self._upload_files()
            self._deliver_events()
            self._let_time_pass()
            self._check()
        finally:
            self.service.close()
        return dict(self.service.done)

    # --- what happens ---------------------------------------------------------------------------

    def _have_clients(self) -> None:
        for number in self.rng.sample(range(400), self.rng.choice((0, 20, 100))):
            client = Client("Ada", self.rng.choice(("Acme", "Globex")), "5550100", "Active")
            email = f"client-{number}@example.com"
            self.start[email] = client
            self.world.rows(
                "INSERT INTO clients (email, name, company, phone, status) VALUES (%s, %s, %s, %s, %s)",
                email,
                *client.data,
            )

    def _upload_files(self) -> None:
        names = self.rng.sample(("a.csv", "b c+d%.csv", "ü 😀.csv", "d/e.csv"), self.rng.randint(1, 3))
        for number in range(self.rng.randint(1, 5)):
            key = PREFIX + self.rng.choice(names)
            file = random_file(self.rng)
            stored = self.world.s3.Object(BUCKET, key).put(Body=file.body)
            rank = sum(upload.key == key for upload in self.uploads)
            upload = Upload(key, rank, file, stored["VersionId"], {})
            upload.event = _event(upload, stored["ETag"], number)
            self.uploads.append(upload)

    def _deliver_events(self) -> None:
        deliveries = []
        for upload in self.uploads:
            upload.delivered = self.rng.random() < 0.9
            if not upload.delivered:
                continue
            for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
                seconds = 8.3 if self.faults and self.rng.random() < 0.05 else 300.0
                deliveries.append(Delivery(upload.event, seconds=seconds))
        if len(deliveries) > 1 and self.rng.random() < 0.3:
            first, second = deliveries[:2]
            first.event = {"Records": first.event["Records"] + second.event["Records"]}
        self.rng.shuffle(deliveries)
        if self.rng.random() < 0.3:
            deliveries.insert(self.rng.randrange(len(deliveries) + 1), Delivery({}, _RECONCILE))
        now = time.monotonic()
        for delivery in deliveries:
            delivery.not_before = now + self.rng.choice((0.0, self.rng.uniform(0, 0.4)))
            self.service.deliver(delivery)
        self.world.mail_server(up=not (self.faults and self.rng.random() < 0.2))
        self.service.faults = self.faults
        self.service.run()
        self.service.faults = 0.0
        self.world.postgres_proxy.arm(None)
        self.world.s3_proxy.arm(None)
        self.world.mail_server(up=True)

    def _let_time_pass(self) -> None:
        """Dead letters are redriven and the reconciler comes by, until there is nothing left to do."""
        for _ in range(12):
            letters, self.service.dead_letters = self.service.dead_letters, []
            for letter in letters:
                self.service.deliver(Delivery(letter.event, letter.function))
            self.service.run()
            # What leases and the pauses of mails are waited for, is over now.
            self.world.rows(
                "UPDATE import_runs SET lease_expires_at = now() - interval '1 second'"
                " WHERE state = 'running'"
            )
            self.world.rows("UPDATE import_runs SET notification_claimed_until = NULL")
            self._wait_for_backends()
            report = self.service.call(_RECONCILE)
            self.service.run()
            work = {name: count for name, count in report.items() if name != "complete" and count}
            if not work and not self.service.dead_letters:
                return
        raise Wrong(f"there is always something left to do: {report}")

    def _wait_for_backends(self) -> None:
        """Backends whose client was killed finish what they were at."""
        until = time.monotonic() + 20
        while self.world.rows(
            "SELECT FROM pg_stat_activity WHERE application_name = 'clientimport'"
            " AND datname = current_database() AND xact_start IS NOT NULL AND state <> 'idle'"
        ):
            if time.monotonic() > until:
                raise Wrong("a backend holds a transaction for ever")
            time.sleep(0.05)

    # --- what must be ---------------------------------------------------------------------------

    def _check(self) -> None:
        runs = {
            version: row
            for version, *row in self.world.rows(
                "SELECT version_id, id, key, state, fault_code, read, inserted, updated, unchanged, rejected,"
                " sha256, notification, conflict_policy FROM import_runs"
            )
        }
        count = self.world.rows("SELECT count(*) FROM import_runs")[0][0]
        _expect(count == len(runs), f"{count} runs for {len(runs)} versions")
        observed = []
        for upload in self.uploads:
            newest = not any(o.key == upload.key and o.rank > upload.rank for o in self.uploads)
            row = runs.pop(upload.version, None)
            if row is None:
                _expect(not upload.delivered and not newest, f"no run for {upload.key!r} {upload.rank}")
                continue
            imported = self._check_run(upload, row, newest=newest)
            if imported:
                observed.append(imported)
        _expect(not runs, f"runs for nothing: {runs}")
        self._check_clients(observed)
        self._check_mails()

    def _check_run(self, upload: Upload, row: list[Any], *, newest: bool) -> Observed | None:
        run, key, state, fault, read, inserted, updated, unchanged, rejected, sha256, mail, policy = row
        where = f"run {run} of {key!r} {upload.rank}: {state} {fault}"
        _expect(key == upload.key, where)
        _expect(policy == self.policy, where)
        if state == "skipped":
            _expect(not newest and mail == "none" and (read, rejected) == (0, 0), where)
            return None
        _expect(mail == "sent", f"{where}, mail {mail}")
        if upload.file.fault:
            _expect((state, fault) == ("rejected", upload.file.fault), where)
            _expect((read, inserted, updated, unchanged, rejected) == (0,) * 5, where)
            _expect(not self.world.rows("SELECT FROM rejected_rows WHERE run_id = %s", run), where)
            return None
        _expect(state == ("partial" if rejected else "succeeded"), where)
        _expect(read == len(upload.file.rows), f"{where}, read {read} of {len(upload.file.rows)}")
        _expect(sha256 == hashlib.sha256(upload.file.body).hexdigest(), where)
        cells = {row.line: list(row.cells) for row in upload.file.rows}
        problems = {}
        for line, found_cells, found in self.world.rows(
            "SELECT line, cells, problems FROM rejected_rows WHERE run_id = %s", run
        ):
            _expect(_comparable(found_cells) == _comparable(cells.get(line)), f"{where}, line {line}: cells")
            problems[line] = frozenset((problem["column"], problem["code"]) for problem in found)
        before: dict[int, Before] = {
            line: tuple(values)
            for line, *values in self.world.rows(
                "SELECT line, name, company, phone, status, changed_by_run_id FROM client_changes"
                " WHERE run_id = %s",
                run,
            )
        }
        return Observed(
            run,
            key,
            upload.rank,
            upload.file,
            policy,
            (inserted, updated, unchanged, rejected),
            problems,
            before,
        )

    def _check_clients(self, observed: list[Observed]) -> None:
        end = {
            email: Client(*values)
            for email, *values in self.world.rows(
                "SELECT email, name, company, phone, status, created_by_run_id, created_from_line,"
                " changed_by_run_id FROM clients"
            )
        }
        order = next(serial_orders(self.start, end, observed), None)
        _expect(order is not None, "no order of the imports explains the clients and the audit")

    def _check_mails(self) -> None:
        counts = {
            run: (state, numbers)
            for run, state, *numbers in self.world.rows(
                "SELECT id, state, read, inserted, updated, unchanged, rejected FROM import_runs"
            )
        }
        sent: dict[int, int] = dict.fromkeys(counts, 0)
        for mail in self.world.mails():
            run = int(re.search(r"/importrun/(\d+)/", mail["body"])[1])  # type: ignore[index]
            state, numbers = counts[run]
            if "Import failed" in mail["subject"]:
                _expect(bool(self.faults), f"run {run}: a mail about a failure without any fault")
                continue
            _expect(state != "skipped", f"run {run}: a mail about a skipped run")
            if state in _IMPORTED:
                table = [int(number.replace(",", "")) for number in _COUNTS.findall(mail["body"])]
                _expect(table == numbers, f"run {run}: the mail says {table}, the audit {numbers}")
            sent[run] += 1
        for run, (state, _) in counts.items():
            wanted = 0 if state == "skipped" else 1
            # At least once: a sender that is killed between sending and saying so sends again.
            most = wanted + (self.service.done.total() if self.faults and wanted else 0)
            _expect(wanted <= sent[run] <= most, f"run {run}, {state}: {sent[run]} mails")


def _comparable(cells: list[str] | None) -> list[str] | None:
    """Rows rejected by the merge may have their canonical cells, as far as nothing else is known of them."""
    if cells is None:
        return None
    return [" ".join(cell.split()).casefold() for cell in cells]


def _event(upload: Upload, etag: str, number: int) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventName": "ObjectCreated:Put",
                "eventTime": datetime.now(UTC).isoformat(),
                "s3": {
                    "bucket": {"name": BUCKET},
                    "object": {
                        "key": quote_plus(upload.key),
                        "versionId": upload.version,
                        "eTag": etag.strip('"'),
                        "sequencer": f"{number + 1:0{16 + upload.rank % 2}X}"[-16:],
                    },
                },
            }
        ]
    }


def _expect(condition: bool, what: str) -> None:
    if not condition:
        raise Wrong(what)
