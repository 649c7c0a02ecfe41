"""A thread that learns while a person goes on."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar("Job")
GENTLE = 10  # niceness: a click takes the processor from an example


class Worker(Generic[Job]):
    """Does jobs one after another, in their order; what goes wrong in one is told to ``fail`` as a line."""

    def __init__(self, work: Callable[[Job], None], fail: Callable[[str], None]) -> None:
        self._work, self._fail = work, fail
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="saywhere-sequence", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        self._jobs.put(job)

    def wait(self) -> None:
        """Until all jobs are done."""
        self._jobs.join()

    def close(self) -> None:
        """Do what is left, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        if sys.platform == "linux":
            # Linux knows niceness for single threads.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), GENTLE)
        while True:
            job = self._jobs.get()
            try:
                if job is None:
                    return
                self._work(job)
            except Exception as error:  # a thread has no one above it to tell
                self._fail(" ".join(str(error).split()) or type(error).__name__)
            finally:
                self._jobs.task_done()
