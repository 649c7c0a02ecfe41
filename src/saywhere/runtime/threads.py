"""How many processor threads networks and masks are computed with."""

from __future__ import annotations

import os
import sys

import cv2

_threads = 0


def get_threads() -> int:
    """Threads of each computation: what :func:`set_threads` set, else as many as this process may use."""
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
