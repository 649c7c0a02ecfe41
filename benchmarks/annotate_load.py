"""Clients that annotate as fast as they are answered, on the shipped network: times, errors, and the servers' memory.

    python benchmarks/annotate_load.py --clients 20 --seconds 600
    python benchmarks/annotate_load.py --servers 2 --database postgresql://user@127.0.0.1/name

Each client works on images of its own, made from the package's sample images: clicks on new objects and on those that
are there, drags, brush strokes, phrases, undo, and now and then the next image. Memory is the resident memory of all
servers, after ``--early`` seconds and at the end. The exit status is 1 where there was an error.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from saywhere.annotate.sample_images import SAMPLES

WIDTH, HEIGHT = 1280, 960
IMAGES_EACH = 4
PHRASES = ("cat", "person", "cup", "rocket", "face", "helmet")


@dataclass
class Results:
    """What all clients measured: seconds of answers by kind of request, and errors by their text."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Client(threading.Thread):
    """Annotates one image after another until the time is over."""

    def __init__(self, url: str, number: int, images: list[int], until: float, results: Results) -> None:
        super().__init__(daemon=True)
        address = re.fullmatch(r"http://([^:/]+):(\d+)/?", url)
        assert address is not None, f"{url}: give http://host:port"
        self._connection = http.client.HTTPConnection(address[1], int(address[2]), timeout=120)
        self._images, self._until, self._results = images, until, results
        self._random = random.Random(number)
        self._headers = {"X-Saywhere-Client": f"load-client-{number:03}", "Content-Type": "application/json"}

    def run(self) -> None:
        image, state = 0, self._open(0)
        while time.monotonic() < self._until:
            if state is None or self._random.random() < 0.02:
                image = (image + 1) % len(self._images)
                state = self._open(image)
                continue
            state = self._act(image, state) or self._open(image)

    def _open(self, image: int) -> dict[str, Any] | None:
        opened = self._ask("open", "GET", f"/api/images/{self._images[image]}")
        return None if opened is None else opened["state"]

    def _act(self, image: int, state: dict[str, Any]) -> dict[str, Any] | None:
        action = self._choose(state)
        body = {"key": f"{self._random.getrandbits(96):024x}", "base": state["seq"], "action": action}
        return self._ask(action["kind"], "POST", f"/api/images/{self._images[image]}/events", body)

    def _choose(self, state: dict[str, Any]) -> dict[str, Any]:
        chance, known = self._random.random(), [one["id"] for one in state["objects"]]
        x, y = self._random.uniform(0, WIDTH - 1), self._random.uniform(0, HEIGHT - 1)
        object = known[-1] if known and self._random.random() < 0.75 else None
        if len(known) > 12:
            return {"kind": "delete", "object": known[0]}
        if chance < 0.05 and state["can_undo"]:
            return {"kind": "undo"}
        if chance < 0.12:
            points = [[x, y], [x + 60, y + 20]]
            return {"kind": "brush", "object": object, "paint": chance < 0.09, "radius": 12, "points": points}
        if chance < 0.16:
            return {"kind": "phrase", "object": object, "text": self._random.choice(PHRASES)}
        radius = 40.0 if chance < 0.22 else None
        positive = object is None or self._random.random() < 0.7
        return {"kind": "click", "object": object, "x": x, "y": y, "positive": positive, "radius": radius}

    def _ask(self, kind: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        started, answer = time.perf_counter(), None
        try:
            self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            response = self._connection.getresponse()
            content = json.loads(response.read())
            if response.status == 200:
                answer = content
            else:
                error = f"{response.status} {content.get('error', '')}"[:160]
        except (OSError, http.client.HTTPException, ValueError) as fault:
            self._connection.close()
            error = repr(fault)[:160]
        with self._results.lock:
            if answer is None:
                self._results.errors[f"{kind}: {error}"] += 1
            else:
                self._results.seconds[kind].append(time.perf_counter() - started)
        return answer


class Server:
    """``saywhere annotate`` in a process of its own.

    Args:
        folder: of images.
        options: of the command line.
        source: the ``src`` folder of another checkout, whose server and page are used.
    """

    def __init__(self, folder: Path, options: Sequence[str] = (), source: Path | None = None) -> None:
        command = [sys.executable, "-m", "saywhere.cli", "annotate", str(folder), "--no-browser", "--port", "0"]
        command += options
        environment = {**os.environ, "COLUMNS": "300"} | ({} if source is None else {"PYTHONPATH": str(source)})
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(r"open (http://\S+?)/? ?$", line.strip()):
                self.url = found[1]
                break
        else:
            raise SystemExit("the server did not start")
        threading.Thread(target=self._show_output, daemon=True).start()

    def _show_output(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            print(f"server: {line.rstrip()}", file=sys.stderr)

    def memory(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+)", status)
        assert found is not None
        return int(found[1]) / 1024

    def processor_seconds(self) -> float:
        """Processor time so far."""
        used = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(used[11]) + int(used[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


def make_images(folder: Path, count: int) -> None:
    """Images that differ from each other, so that none shares its features with another."""
    sources = [cv2.resize(cv2.imread(str(path)), (WIDTH, HEIGHT)) for path in sorted(SAMPLES.glob("*.jpg"))]
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = np.roll(sources[number % len(sources)], int(rng.integers(WIDTH)), axis=1)
        cv2.imwrite(str(folder / f"{number:04}.jpg"), pixels)


def report(results: Results, seconds: float) -> None:
    for kind, times in sorted(results.seconds.items()):
        p50, p95, p99 = 1000 * np.percentile(times, [50, 95, 99])
        print(f"{kind:8} {len(times):6} answers, p50 {p50:7.0f} ms, p95 {p95:7.0f} ms, p99 {p99:7.0f} ms")
    count = sum(len(times) for times in results.seconds.values())
    print(f"all      {count:6} answers, {count / seconds:.1f} a second; errors: {results.errors.total()}")
    for text, times in results.errors.most_common(10):
        print(f"  {times} times: {text}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--early", type=float, default=120.0, help="when memory is measured first")
    parser.add_argument("--threads", type=int, default=2, help="of each server")
    parser.add_argument("--servers", type=int, default=1, help="more than one need --database")
    parser.add_argument("--database", help="as for saywhere annotate")
    options = parser.parse_args()
    results = Results()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_images(folder, options.clients * IMAGES_EACH)
        given = ["--threads", str(options.threads), *(["--database", options.database] if options.database else [])]
        servers = [Server(folder, given) for _ in range(options.servers)]
        started = time.monotonic()
        clients = [
            Client(
                servers[number % len(servers)].url, number,
                [number * IMAGES_EACH + each + 1 for each in range(IMAGES_EACH)], started + options.seconds, results,
            )
            for number in range(options.clients)
        ]  # fmt: skip
        for client in clients:
            client.start()
        time.sleep(min(options.early, options.seconds))
        early = sum(server.memory() for server in servers)
        for client in clients:
            client.join()
        late, used = sum(server.memory() for server in servers), sum(server.processor_seconds() for server in servers)
        report(results, time.monotonic() - started)
        print(
            f"memory: {early:.0f} MB after {min(options.early, options.seconds):.0f} s, {late:.0f} MB at the end, "
            f"{late / early:.2f} times; processor time of the servers: {used:.0f} s"
        )
        for server in servers:
            server.stop()
    return 1 if results.errors else 0


if __name__ == "__main__":
    sys.exit(main())
