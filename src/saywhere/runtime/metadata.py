"""What could change a run's results, recorded with it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from saywhere.core.settings import Settings
from saywhere.runtime.base import Runtime


def run_metadata(runtime: Runtime, settings: Settings, threads: int) -> dict[str, Any]:
    """All that could change a method's answers, down to the last digit."""
    return {
        "model": runtime.name,
        "weights": runtime.digest,
        **asdict(settings),
        "threads": threads,
        "device": runtime.capabilities.device,
        "runtime": runtime.capabilities.backend,
    }
