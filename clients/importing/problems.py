"""What can be wrong: with a cell or row (Problem), with a file (FileFault), with us (the rest).

The two families never mix: a FileFault is the file's doing, its message is for the client admin, and
no retry helps. Everything derived from ImportingError is ours, and safe to try again.
"""

from typing import NamedTuple


def visible(text: str) -> str:
    """The text with everything that can't be seen or printed (line breaks, NUL, overrides) replaced."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


class Problem(NamedTuple):
    """One thing wrong with one row. `column` is empty when it concerns the row as a whole."""

    column: str
    code: str
    message: str


class MalformedRow(list[str]):
    """A line that quotes its cells in a way that can be read in more than one; holds it as one cell."""

    message = (
        "A cell in double quotes goes on after its closing quote. Put the whole cell between the quotes, "
        'and write a double quote inside it twice ("").'
    )


class FileFault(Exception):
    """The file can't be imported: nothing was changed, and no retry mends it.

    `message` is one or two sentences for the client admin: what is wrong, where, how to mend it.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class ImportingError(Exception):
    """We could not finish an import; nothing of it was kept, and it may be tried again."""


class LeaseHeld(ImportingError):
    """Another worker is at work on this run and alive; come back later."""


class Fenced(ImportingError):
    """Another worker took this run over while we were frozen; what we did is not kept."""


class OutOfTime(ImportingError):
    """The time that the invocation has left does not suffice; stopped and rolled back."""


class Interrupted(ImportingError):
    """Somebody stopped the process (Ctrl-C, SIGTERM); stopped and rolled back."""


class ImportFailed(ImportingError):
    """What a worker raises so that Lambda delivers the event again; holds no personal data.

    `run` is the number of the run that failed, where there is one.
    """

    def __init__(self, message: str, run: int | None = None) -> None:
        super().__init__(message)
        self.run = run
