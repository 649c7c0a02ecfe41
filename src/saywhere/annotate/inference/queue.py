"""The queue of the network's work: a few worker threads; of each client's requests the latest comes first."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

from saywhere.errors import SaywhereError
from saywhere.runtime.threads import limit_threads

T = TypeVar("T")


class SupersededError(SaywhereError):
    """A newer request of the same client replaced this one before its turn came."""


@dataclass(frozen=True)
class _Request:
    work: Callable[[], Any]
    future: Future[Any]
    topic: str | None = None
    image: str | None = None
    background: bool = False


class InferenceQueue:
    """Worker threads. Clients take turns; within a client the latest request is served first.

    Of an image one request is served at a time. Background work is done when no client waits, and leaves one worker to
    the clients if there are several. A worker that is alone computes with all processor threads, several with one each.
    :meth:`close` ends the workers.

    Args:
        workers: how many requests are served at once.
    """

    def __init__(self, workers: int = 1) -> None:
        self._waiting: OrderedDict[str, list[_Request]] = OrderedDict()
        self._background: list[_Request] = []
        self._changed = threading.Condition()
        self._open = True
        self._served: list[_Request] = []
        self._workers = [
            threading.Thread(target=self._serve, name=f"saywhere-inference-{number}", daemon=True)
            for number in range(workers)
        ]
        for worker in self._workers:
            worker.start()

    def submit(
        self, client: str, work: Callable[[], T], topic: str | None = None, image: str | None = None
    ) -> Future[T]:
        """Have work done for a client.

        Args:
            client: name of the page or program.
            work: what to call in a worker thread.
            topic: requests of the same client and topic that still wait are cancelled; None cancels nothing.
            image: the hash of the image that it works on, if any.

        Returns:
            The future result; it raises SupersededError when a newer request cancelled this one.

        Raises:
            SaywhereError: when the queue is closed.
        """
        request = _Request(work, Future(), topic, image)
        with self._changed:
            self._check_open()
            waiting = self._waiting.setdefault(client, [])
            if topic is not None:
                for old in [one for one in waiting if one.topic == topic]:
                    waiting.remove(old)
                    old.future.set_exception(SupersededError(f"{topic}: a newer request took its place"))
            waiting.append(request)
            self._changed.notify_all()
        return request.future

    def submit_background(self, work: Callable[[], T], image: str | None = None) -> Future[T]:
        """Have work done when no client waits, in order of submission. Raises SaywhereError when closed."""
        request = _Request(work, Future(), image=image, background=True)
        with self._changed:
            self._check_open()
            self._background.append(request)
            self._changed.notify_all()
        return request.future

    def close(self) -> None:
        """Finish the requests that are being served and reject those that wait."""
        with self._changed:
            self._open = False
            for request in [one for waiting in self._waiting.values() for one in waiting] + self._background:
                request.future.set_exception(SaywhereError("the annotator is closing; start it again"))
            self._waiting.clear()
            self._background.clear()
            self._changed.notify_all()
        for worker in self._workers:
            worker.join()

    def _check_open(self) -> None:
        if not self._open:
            raise SaywhereError("the annotator is closing; start it again")

    def _next(self) -> tuple[_Request, int] | None:
        """The next request and the processor threads to compute it with; None when the queue is closed."""
        with self._changed:
            while self._open:
                request = self._take()
                if request is not None:
                    is_alone = not self._served and not self._waiting
                    self._served.append(request)
                    return request, len(self._workers) if is_alone else 1
                self._changed.wait()
            return None

    def _take(self) -> _Request | None:
        """Remove and return the request whose turn it is, if any can be served now."""
        busy = {request.image for request in self._served} - {None}
        for client, waiting in self._waiting.items():
            for request in reversed(waiting):
                if request.image not in busy:
                    waiting.remove(request)
                    self._waiting.move_to_end(client)  # the other clients come first now
                    if not waiting:
                        del self._waiting[client]
                    return request
        in_background = sum(request.background for request in self._served)
        if self._waiting or in_background >= max(len(self._workers) - 1, 1):
            return None
        for request in self._background:
            if request.image not in busy:
                self._background.remove(request)
                return request
        return None

    def _serve(self) -> None:
        while (taken := self._next()) is not None:
            request, threads = taken
            try:
                with limit_threads(threads) if threads < len(self._workers) else nullcontext():
                    request.future.set_result(request.work())
            except BaseException as error:
                if request.background:
                    logging.getLogger("saywhere").warning("in the background: %s", error)
                request.future.set_exception(error)
            finally:
                with self._changed:
                    self._served.remove(request)
                    self._changed.notify_all()
