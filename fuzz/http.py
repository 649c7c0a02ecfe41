"""Random requests from the schema of the annotator's interface, to a server in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

LABELS = ("--label", "cat", "--label", "dog")


def fuzz_http(count: int, seed: int) -> tuple[int, list[str]]:
    """Send random requests; 5xx answers and the end of the server are failures.

    Args:
        count: about how many requests.
        seed: of the requests.

    Returns:
        The number of requests, and a line for each failure.
    """
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name in ("a.png", "b.png"):
            pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
        server, url = start_server(folder)
        try:
            schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")
            operations = [result.ok() for result in schema.get_all_operations()]
            failures: list[str] = []
            tried = 0
            with httpx.Client(base_url=url, timeout=10.0) as client:
                for operation in operations:

                    @seeded(seed)
                    @settings(
                        max_examples=max(count // len(operations), 1), deadline=None, database=None,
                        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
                    )  # fmt: skip
                    @given(case=operation.as_strategy())
                    def send(case: schemathesis.Case) -> None:
                        nonlocal tried
                        tried += 1
                        start = time.monotonic()
                        what = f"{case.operation.method} {case.operation.path}"
                        try:
                            response = case.call(base_url=url, timeout=30)
                        except OSError as error:
                            failures.append(f"{what}: {error}")
                            return
                        seconds = time.monotonic() - start
                        if response.status_code >= 500 or seconds > 10.0:
                            failures.append(f"{what}: {response.status_code} in {seconds:.1f} s: {response.text[:200]}")

                    send()
                if client.get("/api/project").status_code != 200:
                    failures.append("the server does not answer at the end")
            if server.poll() is not None:
                failures.append(f"the server ended with code {server.returncode}")
        finally:
            server.terminate()
            server.wait(20)
    return tried, failures


def start_server(folder: Path) -> tuple[subprocess.Popen[str], str]:
    """An annotator on a free port, and its address."""
    command = [
        sys.executable,
        "-m",
        "saywhere.cli",
        "annotate",
        str(folder),
        "--port",
        "0",
        "--no-browser",
        "--threads",
        "1",
        *LABELS,
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert server.stdout is not None
    lines = []
    for line in server.stdout:
        lines.append(line)
        if match := re.search(r"http://[\w.:\[\]]+", line):
            return server, match.group().rstrip("/")
    raise RuntimeError("the server did not start: " + "".join(lines)[-500:])
