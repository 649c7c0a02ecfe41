"""How many processor threads networks and masks are computed with."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_threads = 0
_own = threading.local()


def get_threads() -> int:
    """Threads of each computation: what :func:`set_threads` set, else as many as this process may use.

    In a block of :func:`limit_threads` at most as many as that allows.
    """
    limit: int | None = getattr(_own, "limit", None)
    return _all_threads() if limit is None else min(limit, _all_threads())


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Compute with fewer threads in this thread, because others compute at the same time.

    Only ONNX Runtime's networks are limited; others share their threads.

    Args:
        threads: at least 1.
    """
    before = getattr(_own, "limit", None)
    _own.limit = threads
    try:
        yield
    finally:
        _own.limit = before


def _all_threads() -> int:
    if _threads:
        return _threads
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def set_threads(threads: int) -> None:
    """Set the threads of this process's computations.

    Args:
        threads: at least 1.
    """
    global _threads
    _threads = threads
    cv2.setNumThreads(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
