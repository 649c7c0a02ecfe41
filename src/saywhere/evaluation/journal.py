"""Every interaction of a run as a line of JSON: what figures are made from, and where a run goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from saywhere.errors import SaywhereError
from saywhere.evaluation.evaluate import Interaction
from saywhere.storage.jsonl import JsonlLog, read_lines

NAMES = {field.name for field in fields(Interaction)}


class Journal:
    """The interactions of a run, kept as they come; each counts once, however often it is handed in."""

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        """Open a journal, or go on with the one that is there.

        Raises SaywhereError when it was made under other conditions or cannot be written.
        """
        self.path = path
        self._lines = JsonlLog(path, conditions)
        self.records = _records(self._lines.found)

    def append(self, interaction: Interaction) -> bool:
        """Keep an interaction, and say whether it was new: on return it outlives this process.

        Raises SaywhereError when the disk refuses; what was kept before stays.
        """
        if not _follows(self.records, interaction):
            return False
        self._lines.append(asdict(interaction))
        _remember(self.records, interaction)
        return True

    def finished(self, name: str) -> bool:
        return name in self.records and self.records[name][-1].last

    def close(self) -> None:
        self._lines.close()


def read_records(path: Path) -> dict[str, list[Interaction]]:
    """The interactions of a journal, by object and in order; SaywhereError when there is no journal."""
    known = read_lines(path)
    if not known:
        raise SaywhereError(f"'{path}': no interactions there; it is what saywhere bench writes beside its --json")
    return _records(known)


def _records(lines: list[dict[str, Any]]) -> dict[str, list[Interaction]]:
    records: dict[str, list[Interaction]] = {}
    for line in lines:
        if line.keys() == NAMES:
            interaction = Interaction(**line)
            # One that was in flight when a run was killed may come twice, or after a line that was torn.
            if _follows(records, interaction):
                _remember(records, interaction)
    return records


def _follows(records: Mapping[str, list[Interaction]], interaction: Interaction) -> bool:
    past = records.get(interaction.object)
    return interaction.k == past[-1].k + 1 if past else interaction.k in (0, 1)


def _remember(records: dict[str, list[Interaction]], interaction: Interaction) -> None:
    records.setdefault(interaction.object, []).append(interaction)
