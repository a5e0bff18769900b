"""What can be wrong with a file: with one of its rows (Problem), or with all of it (FileFault).

Both carry a code and parameters; their sentences stand in clients.contract.sentences. Neither is our own
failure (clients.errors): nothing was changed, and no retry helps.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from clients.contract.sentences import sentence


def visible(text: str) -> str:
    """The text with everything that can't be seen or printed (line breaks, NUL, overrides) replaced."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


class ProblemKind(NamedTuple):
    """What rows are counted by: a column's title (empty for the row as a whole) and a problem's code."""

    column: str
    code: str

    @property
    def key(self) -> str:
        """The kind as text, for JSON objects and query strings."""
        return f"{self.column}:{self.code}"

    @classmethod
    def parse(cls, key: str) -> Self:
        """The inverse of `key`; a code never contains a colon."""
        column, _, code = key.rpartition(":")
        return cls(column.strip(), code.strip())


class Problem(NamedTuple):
    """One thing wrong with one row. `column` is empty when it concerns the row as a whole.

    `params` are what its sentence needs, as pairs: a problem is hashable, so rows with the same problems can
    be told by them.
    """

    column: str
    code: str
    params: tuple[tuple[str, str | int], ...] = ()

    @property
    def kind(self) -> ProblemKind:
        return ProblemKind(self.column, self.code)

    @property
    def message(self) -> str:
        """What is wrong and how to fix it."""
        return sentence(self.code, {"column": self.column, **dict(self.params)})

    def as_stored(self) -> dict[str, Any]:
        """The JSON that is kept with a rejected row."""
        return {"column": self.column, "code": self.code, "params": dict(self.params)}

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of as_stored(); rows from before there were parameters hold a whole sentence."""
        params = stored.get("params") or ({"text": stored["message"]} if "message" in stored else {})
        return cls(stored["column"], stored["code"], tuple(params.items()))


class Statement(NamedTuple):
    """Something to tell the user of a file or a run: a code and what its sentence needs, as in Problem."""

    code: str
    params: tuple[tuple[str, str | int], ...] = ()

    @classmethod
    def of(cls, code: str, **params: str | int) -> Self:
        return cls(code, tuple(params.items()))

    def sentence(self, *, discreet: bool = False) -> str:
        return sentence(self.code, dict(self.params), discreet=discreet)

    def as_stored(self) -> dict[str, Any]:
        """The JSON that is kept on the run."""
        return {"code": self.code, "params": dict(self.params)}

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Self:
        return cls(stored["code"], tuple(stored["params"].items()))


class FileFault(Exception):
    """The file can't be imported: nothing was changed, and no retry helps."""

    def __init__(self, code: str, **params: str | int) -> None:
        self.statement = Statement.of(code, **params)
        super().__init__(self.message)

    @property
    def code(self) -> str:
        return self.statement.code

    @property
    def message(self) -> str:
        """One or two sentences for the client admin: what is wrong, where, how to fix it."""
        return self.statement.sentence()
