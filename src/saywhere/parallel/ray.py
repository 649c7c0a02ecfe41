"""Work as a Ray Data pipeline, on a running cluster or a temporary one on this machine."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from saywhere.errors import SaywhereError, needing

Item = TypeVar("Item")
Result = TypeVar("Result")
MAX_TASKS = 1000  # a task whose machine dies starts again, so tasks are small


def on_ray(
    prepare: Callable[[], Callable[[Item], Iterable[Result]]], items: Sequence[Item], threads: int, gpu: bool
) -> Iterator[Result]:
    """The results of all items; arguments and errors are those of :func:`saywhere.parallel.local.run`.

    A task holds ``threads`` processors, and a GPU if ``gpu``. The machines of the cluster need the same files under
    the same paths, and the same versions of all packages. Tasks, not actors, do the work: Ray moves a task whose
    machine died to any other machine, while an actor waits for a machine of its own.
    """
    ray = connect(threads, gpu)
    rows = [{"item": pickle.dumps(item)} for item in items]
    arguments = {"prepare": pickle.dumps(prepare), "folder": str(Path.cwd())}
    data = ray.data.from_items(rows, override_num_blocks=min(len(rows), MAX_TASKS))
    results = data.flat_map(_work, fn_kwargs=arguments, num_cpus=threads, num_gpus=1 if gpu else None)
    for batch in results.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        for kind, content in zip(batch["kind"].to_pylist(), batch["content"].to_pylist(), strict=True):
            value = pickle.loads(content)
            if kind == "error":
                raise SaywhereError(value)
            yield value


def connect(threads: int, gpu: bool) -> Any:
    """Connect to the cluster that RAY_ADDRESS names, one that runs on this machine, or a new one here.

    Args:
        threads: processors that each task needs.
        gpu: whether each task needs a GPU.

    Returns:
        The module ``ray``.

    Raises:
        SaywhereError: Ray is not installed, no cluster answers, or none of its machines is large enough.
    """
    # A cluster that is started here sends no usage statistics; a running one keeps its owner's choice.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with needing("ray", "engine ray"):
        import ray
        import ray.data
    if not ray.is_initialized():
        try:
            ray.init(include_dashboard=False, logging_level=logging.WARNING, log_to_driver=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            address = os.environ.get("RAY_ADDRESS", "the one on this machine")
            raise SaywhereError(f"engine ray: no cluster answers at {address} ({_line(error)})") from error
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    needed = {"CPU": threads} | ({"GPU": 1} if gpu else {})
    if not any(all(node.get(kind, 0) >= count for kind, count in needed.items()) for node in nodes):
        raise SaywhereError(
            f"engine ray: no machine of the cluster has {threads} processors{' and a GPU' if gpu else ''}; "
            "choose fewer with --threads"
        )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # it warns that there is no bar
    return ray


def _line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]


@lru_cache(maxsize=1)
def _prepared(prepare: bytes, folder: str) -> Callable[[Any], Iterable[Any]]:
    """The work, made once in each process of the cluster, in the folder that relative paths start from."""
    if Path(folder).is_dir():
        os.chdir(folder)
    work: Callable[[Any], Iterable[Any]] = pickle.loads(prepare)()
    return work


def _work(row: dict[str, Any], prepare: bytes, folder: str) -> list[dict[str, Any]]:
    """The results of one item. A user's error is a result too: Ray would wrap it in a long trace."""
    try:
        results = list(_prepared(prepare, folder)(pickle.loads(row["item"])))
    except SaywhereError as error:
        return [{"kind": "error", "content": pickle.dumps(str(error))}]
    return [{"kind": "result", "content": pickle.dumps(result)} for result in results]
