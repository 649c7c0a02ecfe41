"""What a training run shows and logs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from saywhere.errors import SaywhereError

EXACT_STEPS = 10  # on a GPU the phases of one step in so many are measured: waiting for it at each one costs time


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


class StepTimer:
    """Images a second, and where the time of the steps goes.

    Args:
        device: of the network. A GPU works on while the program goes on, so that it is waited for in the steps that are
            measured.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.measured = device.type != "cuda"
        self.total: dict[str, float] = {}
        self.images, self.began = 0, time.monotonic()
        self._seconds: dict[str, float] = {}

    def start_step(self, step: int, images: int) -> None:
        """Begin a step.

        Args:
            step: its number.
            images: how many all processes see in it.
        """
        self.measured = self.device.type != "cuda" or step % EXACT_STEPS == 0
        self.images += images

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a part of a step: data, forward, backward, exchange (between processes) or optimiser."""
        if not self.measured:
            yield
            return
        self._wait()
        began = time.perf_counter()
        yield
        self._wait()
        self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began

    def take(self) -> tuple[float, dict[str, float]]:
        """Images a second and the share of each phase since the last call."""
        now = time.monotonic()
        speed = self.images / max(now - self.began, 1e-9)
        self.images, self.began = 0, now
        spent, self._seconds = self._seconds, {}
        for name, value in spent.items():
            self.total[name] = self.total.get(name, 0.0) + value
        return speed, shares(spent)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """What share of all each one has.

    Example:
        >>> shares({"data": 1.0, "forward": 3.0})
        {'data': 0.25, 'forward': 0.75}
    """
    total = sum(seconds.values()) or 1.0
    return {name: round(value / total, 3) for name, value in seconds.items()}


def describe_shares(parts: Mapping[str, float]) -> str:
    """Shares in words.

    Example:
        >>> describe_shares({"data": 0.25, "forward": 0.75})
        'data 25 %, forward 75 %'
    """
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in parts.items())


def append_log(path: Path, step: int, seconds: float, **values: Any) -> None:
    """Add a line of JSON to a run's log.

    Raises:
        SaywhereError: it cannot be written.
    """
    try:
        with path.open("a") as file:
            file.write(json.dumps({"step": step, "seconds": round(seconds, 1), **values}) + "\n")
    except OSError as error:
        raise SaywhereError(f"'{path}': cannot be written ({error.strerror or error})") from error
