"""Processes: what a forked one must make anew, one that ends with its parent, and their memory.

In a forked process the parent's threads are gone, and locks that they held are never released.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol
from weakref import WeakSet


class ForkAware(Protocol):
    """An object with state that a fork breaks."""

    def after_fork(self) -> None:
        """Make that state anew, in the forked process, before anything else runs there."""


_objects: WeakSet[ForkAware] = WeakSet()
_actions: list[Callable[[], None]] = []


def renew_after_fork(each: ForkAware) -> None:
    """Have ``each.after_fork()`` called in every forked process, as long as the object exists."""
    _objects.add(each)


def call_after_fork(action: Callable[[], None]) -> None:
    """Have a function called in every forked process."""
    _actions.append(action)


def _renew() -> None:
    for action in _actions:
        action()
    for each in list(_objects):
        each.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)


def end_with_parent(parent: int, seconds: float = 1.0) -> None:
    """End this process soon after its parent has ended, however that ended.

    Args:
        parent: the parent's process number.
        seconds: how often to look.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def peak_memory(of_children: bool = False) -> int:
    """The most memory that this process has had resident, in bytes.

    Linux counts it for a program since its start; ``ru_maxrss``, which other systems have, would count the program that
    started this one as well.

    Args:
        of_children: the most of one of its child processes that ended, instead.
    """
    import resource  # not on Windows

    if not of_children:
        try:
            status = Path("/proc/self/status").read_text()
            return 1024 * int(status.partition("VmHWM:")[2].split()[0])
        except (OSError, ValueError, IndexError):
            pass  # no Linux
    peak = resource.getrusage(resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF).ru_maxrss
    return peak * (1024 if sys.platform == "linux" else 1)
