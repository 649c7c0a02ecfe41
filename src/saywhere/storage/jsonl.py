"""A file of JSON lines that outlives whoever writes it: what was done, and under which conditions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saywhere.errors import SaywhereError


class JsonlLog:
    """What could change the results, then the results as they come.

    A line is written with one system call to a file opened for appending: a kill at any moment costs at most the
    line in flight. ``found`` are the lines that an earlier run left.
    """

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        """Open a file of lines, or go on with the one that is there.

        Raises SaywhereError when it was made under other conditions or cannot be written.
        """
        self.path = path
        known = read_lines(path)
        wanted = json.loads(json.dumps(conditions))
        if known and known[0].get("conditions") != wanted:
            changed = sorted(key for key in wanted if (known[0].get("conditions") or {}).get(key) != wanted[key]) or [
                "its format"
            ]
            raise SaywhereError(
                f"'{path}': holds a run that differs in {', '.join(changed)}; move it away or write elsewhere"
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
        self.found = known[1:]

    def append(self, line: Mapping[str, Any]) -> None:
        """Keep a line: on return it outlives this process.

        Raises SaywhereError when the disk refuses; what was kept before stays.
        """
        self._write(json.dumps(line).encode() + b"\n")

    def close(self) -> None:
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
    """The whole lines of a file, conditions first; none when there is no file."""
    if not path.exists():
        return []
    found: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for line in file:
            try:
                value = json.loads(line)
            except ValueError:
                continue
            if isinstance(value, dict):
                found.append(value)
    return found
