"""Every interaction of a run as a line of JSON: what figures are made from, and where a run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from saywhere.benchmark.evaluate import Interaction
from saywhere.errors import SaywhereError

NAMES = {field.name for field in fields(Interaction)}


class Journal:
    """A file of JSON lines: what could change the figures, then the interactions as they happen.

    A line is written with one system call to a file opened for appending, so several processes may write, and
    a kill at any moment costs at most the line in flight.
    """

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        """Open a journal, or go on with the one that is there.

        Raises SaywhereError when it was made under other conditions or cannot be written.
        """
        self.path = path
        known = _lines(path)
        wanted = json.loads(json.dumps(conditions))
        if known and known[0].get("conditions") != wanted:
            changed = sorted(key for key in wanted if (known[0].get("conditions") or {}).get(key) != wanted[key]) or [
                "its format"
            ]
            raise SaywhereError(
                f"'{path}': holds a run that differs in {', '.join(changed)}; move it away or choose another --json"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise SaywhereError(f"'{path}': cannot be written ({error.strerror})") from error
        if known:
            # A line that was cut short ends here, so that the next one is whole.
            self._write(b"\n")
        else:
            self._write(json.dumps({"conditions": wanted}).encode() + b"\n")
        self.records = _records(known)

    def append(self, interaction: Interaction) -> None:
        """Keep an interaction: on return it outlives this process.

        Raises SaywhereError when the disk refuses; what was kept before stays.
        """
        self._write(json.dumps(asdict(interaction)).encode() + b"\n")
        _remember(self.records, interaction)

    def finished(self, name: str) -> bool:
        return name in self.records and self.records[name][-1].last

    def close(self) -> None:
        os.close(self._file)

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise SaywhereError(
                f"'{self.path}': {error.strerror}; all interactions before this one are kept, run again to go on"
            ) from error
        if written < len(line):
            raise SaywhereError(f"'{self.path}': the disk is full; run again with more room to go on")


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found: list[dict[str, Any]] = []
    for line in path.read_bytes().splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def read_records(path: Path) -> dict[str, list[Interaction]]:
    """The interactions of a journal, by object and in order; SaywhereError when there is no journal."""
    known = _lines(path)
    if not known:
        raise SaywhereError(f"'{path}': no interactions there; it is what saywhere bench writes beside its --json")
    return _records(known)


def _records(lines: list[dict[str, Any]]) -> dict[str, list[Interaction]]:
    records: dict[str, list[Interaction]] = {}
    for line in lines:
        if line.keys() == NAMES:
            _remember(records, Interaction(**line))
    return records


def _remember(records: dict[str, list[Interaction]], interaction: Interaction) -> None:
    so_far = records.setdefault(interaction.object, [])
    # One that was in flight when a run was killed may come twice, or after a line that was torn.
    if interaction.k == len(so_far) + 1:
        so_far.append(interaction)
