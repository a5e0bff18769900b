"""What an undo would do, before it is confirmed, and what it left alone, afterwards."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from clients.models import Client, ImportRun
from clients.upkeep import undo

_SHOWN = 100


def context(run: ImportRun) -> dict[str, Any]:
    """The template's variables; counted by the conditions that the undo itself uses."""
    reason = undo.why_not(run)
    if reason:
        return {"run": run, "reason": reason}
    effect = asdict(undo.effect_of(run))
    return {"run": run, "reason": "", "effect": effect, "left_alone": left_alone(run, effect)}


def left_alone(run: ImportRun, effect: dict[str, Any]) -> list[tuple[Client, str]]:
    """The first clients that an undo leaves alone, each with the reason."""
    listed: Iterable[tuple[int, int | None]] = effect.get("listed", [])[:_SHOWN]
    clients = Client.objects.in_bulk([pk for pk, _ in listed])
    return [(clients[pk], _reason(run, writer)) for pk, writer in listed if pk in clients]


def _reason(run: ImportRun, writer: int | None) -> str:
    if writer is None:
        return "edited by a person since"
    if writer == run.pk:
        return "what it was before came from a run that was undone"
    return f"changed by run {writer} since"
