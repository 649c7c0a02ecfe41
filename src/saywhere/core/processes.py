"""Processes: what a forked one must make anew, and one that ends with its parent.

In a forked process the parent's threads are gone, and locks that they held are never released.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
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
