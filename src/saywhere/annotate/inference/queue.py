"""The queue of the network's work: one worker thread; of each client's requests the latest comes first."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from saywhere.errors import SaywhereError

T = TypeVar("T")


class SupersededError(SaywhereError):
    """A newer request of the same client replaced this one before its turn came."""


@dataclass(frozen=True)
class _Request:
    work: Callable[[], Any]
    future: Future[Any]
    topic: str | None = None
    background: bool = False


class InferenceQueue:
    """One worker thread. Clients take turns; within a client the latest request is served first.

    Background work is done when no client waits. :meth:`close` ends the thread.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, list[_Request]] = OrderedDict()
        self._background: list[_Request] = []
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="saywhere-inference", daemon=True)
        self._thread.start()

    def submit(self, client: str, work: Callable[[], T], topic: str | None = None) -> Future[T]:
        """Have work done for a client.

        Args:
            client: name of the page or program.
            work: what to call in the worker thread.
            topic: requests of the same client and topic that still wait are cancelled; None cancels nothing.

        Returns:
            The future result; it raises SupersededError when a newer request cancelled this one.

        Raises:
            SaywhereError: when the queue is closed.
        """
        request = _Request(work, Future(), topic)
        with self._changed:
            self._check_open()
            waiting = self._waiting.setdefault(client, [])
            if topic is not None:
                for old in [one for one in waiting if one.topic == topic]:
                    waiting.remove(old)
                    old.future.set_exception(SupersededError(f"{topic}: a newer request took its place"))
            waiting.append(request)
            self._changed.notify()
        return request.future

    def submit_background(self, work: Callable[[], T]) -> Future[T]:
        """Have work done when no client waits, in order of submission. Raises SaywhereError when closed."""
        request = _Request(work, Future(), background=True)
        with self._changed:
            self._check_open()
            self._background.append(request)
            self._changed.notify()
        return request.future

    def close(self) -> None:
        """Finish the request that is being served and reject those that wait."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join()

    def _check_open(self) -> None:
        if not self._open:
            raise SaywhereError("the annotator is closing; start it again")

    def _next(self) -> _Request | None:
        with self._changed:
            while self._open and not self._waiting and not self._background:
                self._changed.wait()
            if not self._open:
                for request in [one for waiting in self._waiting.values() for one in waiting] + self._background:
                    request.future.set_exception(SaywhereError("the annotator is closing; start it again"))
                return None
            if not self._waiting:
                return self._background.pop(0)
            client, waiting = self._waiting.popitem(last=False)
            request = waiting.pop()
            if waiting:
                self._waiting[client] = waiting  # at the end: the other clients come first now
            return request

    def _serve(self) -> None:
        while (request := self._next()) is not None:
            try:
                request.future.set_result(request.work())
            except BaseException as error:
                if request.background:
                    logging.getLogger("saywhere").warning("in the background: %s", error)
                request.future.set_exception(error)
