"""What an import may change of a client that exists already."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class UpdateRule(StrEnum):
    """When a column of a known client takes the file's value."""

    ALWAYS = "always"
    IF_NEW_NOT_EMPTY = "if-new-not-empty"
    IF_STORED_EMPTY = "if-stored-empty"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class UpdatePlan:
    """The rule of each column, by field; those not named take the file's value unless it is empty.

    With `keep_status` a client that has that status keeps it: no import turns Inactive into Active.
    """

    rules: Mapping[str, UpdateRule] = field(default_factory=dict)
    keep_status: str = ""

    def rule(self, field_name: str) -> UpdateRule:
        return self.rules.get(field_name, UpdateRule.IF_NEW_NOT_EMPTY)
