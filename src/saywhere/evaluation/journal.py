"""The journal of a measurement: every interaction as a line of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from saywhere.errors import SaywhereError
from saywhere.evaluation.evaluate import Interaction
from saywhere.parallel import resumable
from saywhere.storage.jsonl import read_lines

OPTIONAL = {"candidate_ious", "score", "predicted_iou", "candidate", "box", "choice"}
"""Fields that are left out of a line where they are None."""
FIELDS = {field.name for field in fields(Interaction)} - OPTIONAL


class Journal(resumable.Journal[Interaction]):
    """The interactions of a run; see :class:`saywhere.parallel.resumable.Journal`.

    Attributes:
        records: the interactions so far by object, in the order in which objects were begun.
    """

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        self.records: dict[str, list[Interaction]] = {}
        super().__init__(path, conditions)

    def from_entry(self, entry: Mapping[str, Any]) -> Interaction | None:
        return interaction_from(entry)

    def to_entry(self, result: Interaction) -> Mapping[str, Any]:
        return {key: value for key, value in asdict(result).items() if value is not None or key not in OPTIONAL}

    def is_new(self, result: Interaction) -> bool:
        return follows(self.records, result)

    def remember(self, result: Interaction) -> None:
        self.records.setdefault(result.object, []).append(result)

    def completes(self, result: Interaction) -> bool:
        return result.last

    def finished(self, name: str) -> bool:
        """Whether the robot user is done with an object."""
        return name in self.records and self.records[name][-1].last


def read_records(path: Path) -> dict[str, list[Interaction]]:
    """The interactions of a journal, by object and in order.

    Raises:
        SaywhereError: there is no journal.
    """
    lines = read_lines(path)
    if not lines:
        raise SaywhereError(f"'{path}': no interactions there; it is what saywhere bench writes beside its --json")
    records: dict[str, list[Interaction]] = {}
    for line in lines:
        interaction = interaction_from(line)
        if interaction is not None and follows(records, interaction):
            records.setdefault(interaction.object, []).append(interaction)
    return records


def interaction_from(entry: Mapping[str, Any]) -> Interaction | None:
    """The interaction that a line holds; None for conditions, and for a line of another version."""
    if entry.keys() - OPTIONAL != FIELDS:
        return None
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in entry.items()}
    return Interaction(**values)


def follows(records: Mapping[str, list[Interaction]], interaction: Interaction) -> bool:
    """Whether an interaction is the next of its object.

    One that was in flight when a run was killed may come twice, or after a line that was torn.
    """
    past = records.get(interaction.object)
    return interaction.k == past[-1].k + 1 if past else interaction.k in (0, 1)
