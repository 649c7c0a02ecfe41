"""A log of JSON lines that survives a kill of the process that writes it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saywhere.errors import SaywhereError


class JsonlLog:
    """A file whose first line holds what could change the results, and the others the results as they come.

    A line is written with one system call to a file opened for appending: a kill at any moment costs at most the
    line in flight.

    Args:
        path: the file; continued when it is there, else made, with missing folders.
        conditions: everything that could change a result, as JSON can hold it.

    Attributes:
        entries: the lines that an earlier run left, without the conditions.

    Raises:
        SaywhereError: the file was made under other conditions, or cannot be written.
    """

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        self.path = path
        lines = read_lines(path)
        expected = json.loads(json.dumps(conditions))
        if lines and lines[0].get("conditions") != expected:
            previous = lines[0].get("conditions") or {}
            changed = sorted(key for key in expected if previous.get(key) != expected[key]) or ["its format"]
            raise SaywhereError(
                f"'{path}': holds a run that differs in {', '.join(changed)}; move it away or write elsewhere"
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        except OSError as error:
            raise SaywhereError(f"'{path}': cannot be written ({error.strerror})") from error
        if lines:
            # A line that was cut short ends here, so that the next one is whole.
            self._write(b"\n")
        else:
            self._write(json.dumps({"conditions": expected}).encode() + b"\n")
        self.entries = lines[1:]

    def append(self, line: Mapping[str, Any]) -> None:
        """Keep a line: on return it outlives this process.

        Raises:
            SaywhereError: the disk refuses; what was kept before stays.
        """
        self._write(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, line: bytes) -> None:
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise SaywhereError(
                f"'{self.path}': {error.strerror}; all that came before is kept, run again to go on"
            ) from error
        if written < len(line):
            raise SaywhereError(f"'{self.path}': the disk is full; run again with more room to go on")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a file of JSON lines, conditions first.

    Lines that are damaged, as the last one is after a kill in the middle of a write, are left out.

    Returns:
        The lines; none when there is no file.
    """
    if not path.exists():
        return []
    lines: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for line in file:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                lines.append(value)
    return lines
