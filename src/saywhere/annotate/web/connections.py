"""Connections that do nothing are closed, so that they never keep others from being served."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 15.0  # from the connection to the end of the first request's header
NEXT_HEADER_SECONDS = 30.0  # from a response to the end of the next request's header
BODY_SECONDS = 60.0  # from a request's header to the end of its body
WRITE_SECONDS = 60.0  # in which a client must have read a part of a response
MAX_WAITING: Final = 256  # connections without a request; above it the one that waits longest is closed


class BoundedConnection(H11Protocol):
    """uvicorn's connection with time limits: for a header, a body, and reading a response.

    A connection without a request costs a file descriptor, and no request is refused on account of others.
    """

    waiting: ClassVar[OrderedDict[BoundedConnection, None]] = OrderedDict()  # all without a request, longest first

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._timed: object = None  # the request whose body's time is being counted

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_header(HEADER_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.transport.is_closing():
            self._stop_waiting()
        elif self._has_request() and self._timed is not self.cycle:
            self._stop_waiting()
            self._timed = self.cycle
            self._timer = self.loop.call_later(BODY_SECONDS, self._close_without_body)

    def on_response_complete(self) -> None:
        # Before the parent's: a request that came with the last one is begun there.
        self._wait_for_header(NEXT_HEADER_SECONDS)
        super().on_response_complete()
        if self.transport.is_closing():
            self._stop_waiting()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        if self.flow is not None:
            super().resume_writing()

    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_header(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._close)
        self.waiting[self] = None
        if len(self.waiting) > MAX_WAITING:
            next(iter(self.waiting))._close()

    def _stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_without_body(self) -> None:
        if self._has_request() and self.cycle.more_body:
            self._close()

    def _close(self) -> None:
        self._stop_waiting()
        self.transport.close()
