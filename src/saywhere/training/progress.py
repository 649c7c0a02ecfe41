"""What a training run shows and logs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class IntervalTimer:
    """Due once in a number of minutes."""

    def __init__(self, minutes: float) -> None:
        self.seconds, self.last = 60.0 * minutes, time.monotonic()

    def due(self) -> bool:
        """Whether the interval is over; then the next one begins."""
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


def progress_bar(console: Console, shown: bool) -> Progress:
    """A bar from 0 to 100 % with the time left and a field ``status``."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>5.1f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
        disable=not shown,
    )


def append_log(path: Path, step: int, seconds: float, **values: Any) -> None:
    """Add a line of JSON to a run's log."""
    with path.open("a") as file:
        file.write(json.dumps({"step": step, "seconds": round(seconds, 1), **values}) + "\n")
