"""Objects that threads may share."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from saywhere.core.processes import renew_after_fork


class Lockable:
    """Base class of objects with a lock, ``_lock``. Copies, pickled objects and forked processes get their own."""

    def __new__(cls, *arguments: Any, **options: Any) -> Self:
        self = super().__new__(cls)
        self._lock = threading.RLock()
        renew_after_fork(self)
        return self

    def after_fork(self) -> None:
        """Make a lock that no thread of the parent process holds."""
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}


Object = TypeVar("Object", bound=Lockable)
Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def one_at_a_time(
    method: Callable[Concatenate[Object, Arguments], Returned],
) -> Callable[Concatenate[Object, Arguments], Returned]:
    """Decorate a method of a :class:`Lockable` so that it waits until another thread's call has ended."""

    @functools.wraps(method)
    def call(self: Object, /, *args: Arguments.args, **arguments: Arguments.kwargs) -> Returned:
        with self._lock:
            return method(self, *args, **arguments)

    return call
