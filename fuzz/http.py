"""Random requests from the schema of the annotator's interface, to a server in a process of its own."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from annotator import Server, make_folder

from fuzz.runner import MAX_SECONDS

CLIENT = {"X-Saywhere-Client": "fuzz-client"}  # without it the server refuses to change anything
EXISTING = {"image": 3, "label": 2, "object": 2}  # how many there are: most requests are about one of them


def fuzz_http(count: int, seed: int) -> tuple[int, list[str]]:
    """Send random requests; 5xx, answers that take too long and the end of the server are failures.

    Args:
        count: about how many requests.
        seed: of the requests.

    Returns:
        The number of requests, and a line for each failure.
    """
    tried = 0
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as place:
        server = Server(make_folder(Path(place) / "images"), "--label", "cat", "--label", "dog")

        def send(case: schemathesis.Case) -> None:
            nonlocal tried
            tried += 1
            if tried % 4:
                for name in set(case.path_parameters) & set(EXISTING):
                    case.path_parameters[name] = 1 + tried % EXISTING[name]
            what = f"{case.operation.method.upper()} {case.operation.path}"
            start = time.monotonic()
            try:
                response = case.call(base_url=server.url, headers=CLIENT, timeout=3 * MAX_SECONDS)
            except OSError as error:
                failures.append(f"{what}: {error}")
                return
            seconds = time.monotonic() - start
            if response.status_code >= 500 or seconds > MAX_SECONDS:
                failures.append(f"{what}: {response.status_code} in {seconds:.1f} s: {response.text[:200]}")

        try:
            schema = schemathesis.openapi.from_url(f"{server.url}api/openapi.json")
            operations = [result.ok() for result in schema.get_all_operations()]
            for operation in operations:
                _for_random_cases(operation, max(count // len(operations), 1), seed, send)
            if server.process.poll() is not None:
                failures.append(f"the server ended with code {server.process.returncode}")
        finally:
            server.stop()
    return tried, failures


def _for_random_cases(
    operation: schemathesis.APIOperation, count: int, seed: int, send: Callable[[schemathesis.Case], None]
) -> None:
    run = given(case=operation.as_strategy())(send)
    run = settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )(run)  # fmt: skip
    seeded(seed)(run)()
