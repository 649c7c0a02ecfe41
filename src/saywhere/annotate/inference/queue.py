"""Who is served next. One thread does the network's work; of each page's wishes the latest comes first."""

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


class Superseded(SaywhereError):
    """A newer wish of the same page made this one stale before its turn came."""


@dataclass(frozen=True)
class _Job:
    work: Callable[[], Any]
    future: Future[Any]
    topic: str | None
    background: bool = False


class InferenceQueue:
    """One worker. Pages take turns; within a page the latest wish is served first.

    A wish with a ``topic`` makes earlier ones of the same page and topic stale: those that wait are cancelled.
    Work in the background is done when nobody waits.
    """

    def __init__(self) -> None:
        self._turns: OrderedDict[str, list[_Job]] = OrderedDict()
        self._background: list[_Job] = []
        self._wake = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._serve, name="saywhere-desk", daemon=True)
        self._thread.start()

    def ask(self, client: str, work: Callable[[], T], topic: str | None = None) -> Future[T]:
        """Have work done for a page; the future raises Superseded when a newer wish made it stale."""
        job = _Job(work, Future(), topic)
        with self._wake:
            self._check_open()
            waiting = self._turns.setdefault(client, [])
            if topic is not None:
                for old in [j for j in waiting if j.topic == topic]:
                    waiting.remove(old)
                    old.future.set_exception(Superseded(f"{topic}: a newer request took its place"))
            waiting.append(job)
            self._wake.notify()
        return job.future

    def later(self, work: Callable[[], T]) -> Future[T]:
        """Have work done when nobody waits, in the order in which it was asked."""
        job = _Job(work, Future(), None, background=True)
        with self._wake:
            self._check_open()
            self._background.append(job)
            self._wake.notify()
        return job.future

    def close(self) -> None:
        """Finish the work in hand, refuse the rest."""
        with self._wake:
            self._open = False
            self._wake.notify()
        self._thread.join()

    def _check_open(self) -> None:
        if not self._open:
            raise SaywhereError("the annotator is closing; start it again")

    def _next(self) -> _Job | None:
        with self._wake:
            while self._open and not self._turns and not self._background:
                self._wake.wait()
            if not self._open:
                left = [job for jobs in self._turns.values() for job in jobs] + self._background
                for job in left:
                    job.future.set_exception(SaywhereError("the annotator is closing; start it again"))
                return None
            if not self._turns:
                return self._background.pop(0)
            client, waiting = self._turns.popitem(last=False)
            job = waiting.pop()
            if waiting:
                self._turns[client] = waiting  # at the end: the others come first now
            return job

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.future.set_result(job.work())
            except BaseException as error:
                if job.background:
                    logging.getLogger("saywhere").warning("in the background: %s", error)
                job.future.set_exception(error)
