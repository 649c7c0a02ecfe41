"""Processes that are killed in the middle of their work, however slow the machine is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from conftest import HOLD_AT

__all__ = ["HOLD_AT", "kill_when"]


def kill_when(process: subprocess.Popen[bytes], is_reached: Callable[[], bool]) -> None:
    """Kill a process with SIGKILL once it holds where its environment says so (``HOLD_AT``)."""
    deadline = time.monotonic() + 300
    while not is_reached():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < deadline, "it was not reached"
        time.sleep(0.02)
    process.kill()
    process.wait()
