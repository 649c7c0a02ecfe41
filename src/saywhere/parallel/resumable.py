"""A job that may be killed at any moment and goes on when it is run again: one method applied to many items.

Every result is kept in a journal as soon as it arrives. The work runs in this process, in several, or on a Ray cluster;
only the process that started the job writes to the journal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from saywhere.core.settings import ResolvedSettings, Settings
from saywhere.parallel import local
from saywhere.parallel.local import Engine
from saywhere.runtime.base import Runtime
from saywhere.runtime.metadata import run_metadata
from saywhere.runtime.registry import find_method, verify_method
from saywhere.runtime.threads import set_threads
from saywhere.storage.jsonl import JsonlLog

Item = TypeVar("Item")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]
Work = Callable[[Item], Iterable[Result]]
WorkFactory = Callable[[Runtime, Settings], Work[Item, Result]]


def no_progress(completed: int, total: int) -> None:
    """A progress callback that does nothing."""


def journal_path(out: Path) -> Path:
    """The journal of the job that writes ``out``: beside it, with the ending ``.jsonl``."""
    return out.with_suffix(".jsonl")


@dataclass(frozen=True)
class Execution:
    """Where a job runs.

    Args:
        engine: this machine, or a Ray cluster.
        jobs: number of processes of the local engine.
    """

    engine: Engine = Engine.LOCAL
    jobs: int = 1

    @property
    def in_this_process(self) -> bool:
        """Whether the process that starts the job does the work too."""
        return self.engine is Engine.LOCAL and self.jobs == 1


@dataclass(frozen=True)
class LoadedMethod:
    """A method by its name, as other processes look it up, and loaded in this process.

    Attributes:
        name: weights, a classical method or ``module:factory`` (:func:`saywhere.runtime.registry.find_method`).
        requested: the settings that were asked for.
        threads: processor threads of each worker.
        runtime: the loaded runtime.
        settings: the settings that the method runs with.
        metadata: everything that could change a result (:func:`saywhere.runtime.metadata.run_metadata`).
    """

    name: str | None
    requested: Settings
    threads: int
    runtime: Runtime
    settings: ResolvedSettings
    metadata: Mapping[str, Any]

    @classmethod
    def load(cls, name: str | None, settings: Settings, threads: int) -> LoadedMethod:
        """Load a method by its name.

        Raises:
            SaywhereError: no such method.
        """
        runtime, used = find_method(name, settings)
        return cls(name, settings, threads, runtime, used, run_metadata(runtime, used, threads))

    @property
    def uses_gpu(self) -> bool:
        """Whether the runtime computes on a CUDA device."""
        return str(self.metadata["device"]).startswith("cuda")


class Journal(ABC, Generic[Result]):
    """Results of a job as lines of JSON, and in memory. A result counts once, however often it arrives.

    Subclasses say what a line looks like, and which results are new.

    Args:
        path: the file; made when it is not there.
        conditions: everything that could change a result.

    Raises:
        SaywhereError: the file belongs to a run under other conditions, or cannot be written.
    """

    def __init__(self, path: Path, conditions: Mapping[str, Any]) -> None:
        self.path = path
        self._log = JsonlLog(path, conditions)
        for entry in self._log.entries:
            result = self.from_entry(entry)
            if result is not None and self.is_new(result):
                self.remember(result)

    @abstractmethod
    def from_entry(self, entry: Mapping[str, Any]) -> Result | None:
        """The result that a line holds; None when it holds none."""

    @abstractmethod
    def to_entry(self, result: Result) -> Mapping[str, Any]:
        """A result as a line."""

    @abstractmethod
    def is_new(self, result: Result) -> bool:
        """Whether a result is to be kept: it is not there yet, and all that must come before it is."""

    @abstractmethod
    def remember(self, result: Result) -> None:
        """Hold a result in memory."""

    def completes(self, result: Result) -> bool:
        """Whether a result is the last of its object; by default each is."""
        return True

    def append(self, result: Result) -> bool:
        """Keep a result: on return it outlives this process.

        Returns:
            Whether the result was new.

        Raises:
            SaywhereError: the disk refuses; what was kept before stays.
        """
        if not self.is_new(result):
            return False
        self._log.append(self.to_entry(result))
        self.remember(result)
        return True

    def close(self) -> None:
        """Close the file; results stay in memory."""
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def run_job(
    method: LoadedMethod,
    make_work: WorkFactory[Item, Result],
    items: Sequence[Item],
    journal: Journal[Result],
    completed: int,
    total: int,
    execution: Execution = Execution(),
    progress: Progress = no_progress,
) -> None:
    """Apply a method to the items that are left, and keep every result in the journal.

    Args:
        method: the method.
        make_work: makes the function from an item to its results, from the runtime and its settings. It is sent to
            other processes, so it must be a function of a module, or a ``partial`` of one.
        items: what is left to do.
        journal: where results are kept.
        completed: how many objects were complete before.
        total: how many objects the whole job has.
        execution: where it runs.
        progress: called with the number of complete objects and ``total``, at the start and after each object.

    Raises:
        SaywhereError: the work raised it, a process ended early, another machine has another method under the same
            name, or the disk refuses.
    """
    progress(completed, total)
    prepare = (
        partial(prepare_here, method.threads, make_work, method.runtime, method.settings)
        if execution.in_this_process
        else partial(prepare_remote, method.name, method.requested, method.threads, method.metadata, make_work)
    )
    results = local.run(prepare, items, execution.engine, execution.jobs, method.threads, method.uses_gpu)
    for result in results:
        if journal.append(result) and journal.completes(result):
            completed += 1
            progress(completed, total)


def prepare_here(
    threads: int, make_work: WorkFactory[Item, Result], runtime: Runtime, settings: Settings
) -> Work[Item, Result]:
    """The work of a method that is loaded in this process."""
    set_threads(threads)
    return make_work(runtime, settings)


def prepare_remote(
    name: str | None,
    requested: Settings,
    threads: int,
    metadata: Mapping[str, Any],
    make_work: WorkFactory[Item, Result],
) -> Work[Item, Result]:
    """The same in another process, which loads the method and makes sure that it is the same one."""
    runtime, settings = verify_method(name, requested, threads, metadata)
    return prepare_here(threads, make_work, runtime, settings)
