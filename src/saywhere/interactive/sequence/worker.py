"""A thread that learns while the user continues."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from saywhere.errors import SaywhereError

Job = TypeVar("Job")
NICENESS = 10  # of the thread, so that clicks are answered before it goes on


class Worker(Generic[Job]):
    """A thread that does jobs one after another, in the order in which they were added.

    Args:
        work: does a job.
        fail: is called with a line that says what went wrong in a job; the thread continues with the next one.
    """

    def __init__(self, work: Callable[[Job], None], fail: Callable[[str], None]) -> None:
        self._work, self._fail = work, fail
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._thread = threading.Thread(target=self._run, name="saywhere-sequence", daemon=True)
        self._thread.start()
        self._process = os.getpid()

    def put(self, job: Job) -> None:
        """Add a job; returns at once.

        Raises:
            SaywhereError: this is a forked process, which has no such thread.
        """
        self._check_process()
        self._jobs.put(job)

    def wait(self) -> None:
        """Wait until all jobs are done; errors as for :meth:`put`."""
        self._check_process()
        self._jobs.join()

    def close(self) -> None:
        """Do the remaining jobs, then end the thread; nothing in a forked process."""
        if os.getpid() != self._process:
            return
        self._jobs.put(None)
        self._thread.join()

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise SaywhereError("sequence: it learns in the process that opened it; open it anew in the forked one")

    def _run(self) -> None:
        if sys.platform == "linux":
            # Only Linux has a niceness for each thread.
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        while True:
            job = self._jobs.get()
            try:
                if job is None:
                    return
                self._work(job)
            except Exception as error:  # nothing above a thread catches it
                self._fail(" ".join(str(error).split()) or type(error).__name__)
            finally:
                self._jobs.task_done()
