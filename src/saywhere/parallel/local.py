"""Engines: work in this process, in several, or on a Ray cluster. All give the same results.

Work is a function from an item to its results. ``prepare`` makes that function in each worker: it is sent there, so it
must be a function of a module or a ``partial`` of one, and items must be picklable. Only the process that started the
work receives results, so that no two processes write to one file.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from multiprocessing import connection
from typing import Any, TypeVar

from saywhere.errors import SaywhereError

Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine(StrEnum):
    """Where work runs: on this machine, or on a Ray cluster."""

    LOCAL = "local"
    RAY = "ray"


def run(
    prepare: Callable[[], Callable[[Item], Iterable[Result]]],
    items: Sequence[Item],
    engine: Engine = Engine.LOCAL,
    jobs: int = 1,
    threads: int = 1,
    gpu: bool = False,
) -> Iterator[Result]:
    """The results of all items, in no particular order of items.

    Args:
        prepare: makes the function from an item to its results, in each worker.
        items: the items.
        engine: where the work runs.
        jobs: processes of the local engine.
        threads: processor threads of each task, with Ray.
        gpu: whether each task needs a GPU, with Ray.

    Yields:
        Results. With Ray those of an item may come twice, when a worker died after it had given some of them.

    Raises:
        SaywhereError: the work raised it, or a process ended early.
    """
    if not items:
        return iter(())
    if engine is Engine.RAY:
        from saywhere.parallel.ray import on_ray

        return on_ray(prepare, items, threads, gpu)
    if jobs > 1 and len(items) > 1:
        return in_processes(prepare, items, min(jobs, len(items)))
    work = prepare()
    return (result for item in items for result in work(item))


def in_processes(
    prepare: Callable[[], Callable[[Item], Iterable[Result]]], items: Iterable[Item], jobs: int
) -> Iterator[Result]:
    """Several processes take items as they become free; arguments and errors are those of :func:`run`.

    Items are taken from an iterator as they are needed, so that there may be more than memory holds.
    """
    context = multiprocessing.get_context("spawn")
    # Each process has a pipe of its own: one that is killed in the middle of a result blocks no other.
    workers: dict[Any, Any] = {}
    for _ in range(jobs):
        ours, theirs = context.Pipe()
        workers[ours] = context.Process(target=_serve, args=(prepare, theirs), daemon=True)
        workers[ours].start()
        theirs.close()
    remaining, crashed = iter(items), 0
    open_ends = list(workers)
    try:
        while open_ends:
            ready: list[Any] = connection.wait(open_ends)
            for end in ready:
                try:
                    kind, value = end.recv()
                    if kind == "result":
                        yield value
                    elif kind == "error":
                        raise SaywhereError(value)
                    else:
                        end.send(next(remaining, None))
                except (EOFError, ConnectionError):
                    open_ends.remove(end)
                    workers[end].join()
                    crashed += workers[end].exitcode != 0
    finally:
        for end, worker in workers.items():
            end.close()
            worker.terminate()
            worker.join()
    if crashed:
        raise SaywhereError(
            f"{crashed} of {len(workers)} processes ended early; their results so far are kept: run again to go on"
        )


def _serve(prepare: Callable[[], Callable[[Any], Iterable[Any]]], end: Any) -> None:
    """Ask for items over a pipe until there is none, and send their results."""
    try:
        work = prepare()
        end.send(("ready", None))
        while (item := end.recv()) is not None:
            for result in work(item):
                end.send(("result", result))
            end.send(("ready", None))
    except SaywhereError as error:
        end.send(("error", str(error)))
    except (EOFError, ConnectionError):
        pass  # The process that started the work is gone, so there is nothing left to do.
