"""Runs a target's inputs in processes of their own, with limits of time and memory."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

from saywhere.core.processes import peak_memory
from saywhere.errors import SaywhereError

MAX_SECONDS = 10.0
MAX_BYTES = 1_500_000_000
SEEDS = Path(__file__).parent / "seeds"
FAILURES = Path(__file__).parent / "failures"


@dataclass(frozen=True)
class Target:
    """What is fuzzed.

    Attributes:
        name: on the command line.
        make: writes an input into an empty folder and returns its path.
        check: reads it; any exception but SaywhereError is a failure.
        prepare: what a process does first, within no limit.
    """

    name: str
    make: Callable[[Path, np.random.Generator], Path]
    check: Callable[[Path], Any]
    prepare: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Limits:
    """When a target ends: after a number of inputs, or after seconds, whichever is first; None: no limit."""

    count: int | None = None
    seconds: float | None = None


def run_target(name: str, limits: Limits, seed: int, processes: int = 2) -> tuple[int, list[str]]:
    """Fuzz a target.

    Args:
        name: a key of ``TARGETS``.
        limits: when to end.
        seed: with an input's number it decides everything about that input.
        processes: how many inputs are read at the same time.

    Returns:
        The number of inputs, and a line for each failure.
    """
    context = multiprocessing.get_context("spawn")
    workers = [_Worker(context, name, seed, first, processes, limits.count) for first in range(processes)]
    deadline = None if limits.seconds is None else time.monotonic() + limits.seconds
    failures: list[str] = []
    tried = 0
    while workers:
        wait([worker.connection for worker in workers], timeout=0.5)
        for worker in list(workers):
            done, failure = worker.poll()
            tried += done
            if failure is not None:
                failures.append(failure)
            if worker.is_finished or (deadline is not None and time.monotonic() > deadline):
                worker.stop()
                workers.remove(worker)
    return tried, failures


def replay(name: str, seed: int, number: int) -> str:
    """Run one input in this process; its traceback is raised."""
    target, folder = _target(name), Path(tempfile.mkdtemp())
    target.prepare()
    path = target.make(folder, _random(seed, number))
    print(path)
    return outcome(target, path) or "no failure"


def outcome(target: Target, path: Path) -> str | None:
    """What went wrong with an input; None for a result or a SaywhereError.

    Seconds are the processor's: how long a reader waits on a busy machine says nothing about the reader.
    """
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target.check(path)
        except SaywhereError as error:
            if "\n" in str(error).strip() or not str(error).strip():
                return f"an error that is not one line: {str(error)[:200]!r}"
        except Exception as error:  # that is what is looked for
            frame = traceback.extract_tb(error.__traceback__)[-1]
            return f"{type(error).__name__}: {str(error)[:150]} ({Path(frame.filename).name}:{frame.lineno})"
    seconds = time.process_time() - start
    return f"{seconds:.1f} s" if seconds > MAX_SECONDS else None


class _Worker:
    """One process, started again after a failure that ends it."""

    def __init__(self, context: Any, name: str, seed: int, first: int, step: int, count: int | None) -> None:
        self.context, self.name, self.seed, self.step, self.count = context, name, seed, step, count
        self.number, self.is_finished = first, count is not None and first >= count
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        self._start()

    def _start(self) -> None:
        self.connection, child = self.context.Pipe()
        arguments = (child, self.name, self.seed, self.number, self.step, self.count, self.folder)
        self.process = self.context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        child.close()
        self.since: float | None = None  # the clock starts with the first input

    def poll(self) -> tuple[int, str | None]:
        """How many inputs ended since the last call, and a failure."""
        done = 0
        try:
            while self.connection.poll():
                kind, number, text = self.connection.recv()
                if kind == "finished":
                    self.is_finished = True
                    return done, None
                if kind == "restart":
                    self._restart()
                    return done, None
                self.since = time.monotonic()
                self.number = number
                if kind == "start":
                    continue
                done += 1
                self.number += self.step
                if text:
                    return done, self._failure(number, text)
        except (EOFError, ConnectionResetError):
            self.process.join()
            text = f"the process ended with code {self.process.exitcode}"
        else:
            if self.since is None or time.monotonic() - self.since < 3 * MAX_SECONDS:
                return done, None
            text = f"no answer after {3 * MAX_SECONDS:.0f} s"
        failure = self._failure(self.number, text)
        self.number += self.step
        self._restart()
        return done + 1, failure

    def _restart(self) -> None:
        """Go on with the next input in another process."""
        self.stop()
        self.is_finished = self.count is not None and self.number >= self.count
        if not self.is_finished:
            self.folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
            self._start()

    def _failure(self, number: int, text: str) -> str:
        kept = FAILURES / self.name / f"{self.seed}-{number}"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        target = _target(self.name)
        target.prepare()
        path = target.make(kept, _random(self.seed, number))
        return f"{self.name} {self.seed}:{number}: {text}; input in {path}"

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()
        self.connection.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _work(connection: Connection, name: str, seed: int, first: int, step: int, count: int | None, folder: Path) -> None:
    target = _target(name)
    target.prepare()
    number = first
    while count is None or number < count:
        place = folder / str(number)
        place.mkdir()
        path = target.make(place, _random(seed, number))
        connection.send(("start", number, None))
        text = outcome(target, path)
        if text is None and (used := peak_memory()) > MAX_BYTES:
            connection.send(("end", number, f"{used / 1e9:.1f} GB"))
            connection.send(("restart", number, None))  # the peak of a process never falls, so another one goes on
            return
        connection.send(("end", number, text))
        shutil.rmtree(place, ignore_errors=True)
        number += step
    connection.send(("finished", number, None))


def _random(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng((seed, number))


def _target(name: str) -> Target:
    from fuzz.targets import TARGETS

    return TARGETS[name]
