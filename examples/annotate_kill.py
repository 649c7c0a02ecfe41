"""Kills the annotator at random moments under load and looks whether anything that was answered is missing.

Run with ``.venv/bin/python examples/annotate_kill.py --kills 200``. Four clients click, brush and undo on photographs
of their own as fast as they are answered; after every kill the database is checked as a whole, and every answer that
any client ever got is compared with what is kept. A network stand-in answers, so that it is the keeping that is tried.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from saywhere.core.prompt import Prompt

CLIENTS = 4


class Disc:
    """A disc around the last click: all that is needed of a network here."""

    name, digest, phrases = "disc", "0disc", False

    def encode(self, image: np.ndarray) -> tuple[int, int]:
        return image.shape[0], image.shape[1]

    def decode(self, features: tuple[int, int], prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        rows, columns = np.mgrid[: features[0], : features[1]]
        last = prompt.clicks[-1]
        return (20.0 - np.hypot(columns - last.x, rows - last.y)).astype(np.float32)


def disc() -> Disc:
    """For ``--model annotate_kill:disc``."""
    return Disc()


@dataclass
class Outcome:
    """What was answered over all rounds, and what of it was not kept, or kept otherwise."""

    kills: int = 0
    answered: int = 0
    amiss: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """Works on one photograph until the server is gone; ``answers`` are by number of the event."""

    def __init__(self, url: str, image: int, seed: int) -> None:
        super().__init__(daemon=True)
        self.http = httpx.Client(base_url=url, headers={"X-Saywhere-Client": f"client-{image:04}"}, timeout=30)
        self.image, self.rng = image, random.Random(seed)
        self.answers: dict[int, dict[str, Any]] = {}
        self.fault: str | None = None

    def run(self) -> None:
        try:
            state = self.http.get(f"/api/images/{self.image}").json()["state"]
            while True:
                state = self.step(state)
        except httpx.TransportError:
            return
        except Exception as error:
            self.fault = repr(error)

    def step(self, state: dict[str, Any]) -> dict[str, Any]:
        key = f"key-{self.rng.getrandbits(80):020x}"
        body = {"key": key, "base": state["seq"], "action": self.action(state)}
        answer = self.http.post(f"/api/images/{self.image}/events", json=body)
        answer.raise_for_status()
        found = answer.json()
        self.answers[found["seq"]] = {"key": key, "masks": found["masks"]}
        return found

    def action(self, state: dict[str, Any]) -> dict[str, Any]:
        x, y = self.rng.uniform(0, 319), self.rng.uniform(0, 239)
        known = [o["id"] for o in state["objects"]]
        object = self.rng.choice(known) if known and self.rng.random() < 0.8 else None
        if state["can_undo"] and self.rng.random() < 0.2:
            return {"kind": "undo"}
        if len(known) > 5:
            return {"kind": "delete", "object": known[0]}
        if self.rng.random() < 0.3:
            points = [[x, y], [x + 10, y]]
            return {"kind": "brush", "object": object, "paint": True, "radius": 5, "points": points}
        return {"kind": "click", "object": object, "x": x, "y": y}


def start(folder: Path, database: Path) -> tuple[subprocess.Popen[str], str]:
    """A server and its address."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "COLUMNS": "200"}
    command = [
        sys.executable, "-m", "saywhere.cli", "annotate", str(folder), "--no-browser", "--port", "0", "--database",
        f"sqlite:///{database}", "--model", "annotate_kill:disc",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"open (http://\S+)", line):
            return process, found[1]
    raise RuntimeError("the server did not start")


def check(database: Path, answers: dict[int, dict[int, dict[str, Any]]]) -> list[str]:
    """What is amiss: in the file as a whole, or with any answer (by photograph and number of the event)."""
    with sqlite3.connect(database) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
        rows = connection.execute("SELECT image_id, seq, key, mask FROM saywhere_event").fetchall()
        counted = dict(connection.execute("SELECT id, seq FROM saywhere_image").fetchall())
    amiss = [] if whole == "ok" else [f"integrity: {whole}"]
    kept = {(image, seq): (key, mask) for image, seq, key, mask in rows}
    for image, seq in counted.items():
        if {s for i, s in kept if i == image} != set(range(1, seq + 1)):
            amiss.append(f"photograph {image}: its events are not 1 to {seq}")
    for image, own in answers.items():
        for seq, answer in own.items():
            key, _ = kept.get((image, seq), (None, None))
            if key != answer["key"]:
                amiss.append(f"photograph {image}, event {seq}: answered, not kept")
            for number, mask in answer["masks"].items():
                held = kept.get((image, int(number)), (None, b""))[1]
                if held is None or held.decode() != mask["counts"]:
                    amiss.append(f"photograph {image}, event {seq}: mask {number} is another one")
    return amiss


def run(place: Path, kills: int, seed: int = 0, longest: float = 0.8) -> Outcome:
    """Start, work, kill within ``longest`` seconds of work, check; again and again."""
    rng, outcome = random.Random(seed), Outcome()
    folder, database = place / "photographs", place / "kill.sqlite"
    folder.mkdir()
    for i in range(CLIENTS):
        Image.new("RGB", (320, 240), (40 * i, 80, 120)).save(folder / f"{i}.png")
    answers: dict[int, dict[int, dict[str, Any]]] = {i + 1: {} for i in range(CLIENTS)}
    for round_ in range(kills):
        process, url = start(folder, database)
        clients = [Client(url, image, seed + 1000 * round_ + image) for image in answers]
        for client in clients:
            client.start()
        until = time.monotonic() + 30
        while not any(client.answers for client in clients) and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, longest))
        process.kill()
        process.wait()
        for client in clients:
            client.join(30)
            answers[client.image] |= client.answers
            outcome.answered += len(client.answers)
            if client.fault:
                outcome.amiss.append(client.fault)
        outcome.kills += 1
        outcome.amiss += check(database, answers)
        if outcome.amiss:
            break
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        outcome = run(Path(place), options.kills, options.seed)
    for line in outcome.amiss[:20]:
        print(line)
    spent = time.monotonic() - started
    print(f"{outcome.kills} kills, {outcome.answered:,} answers, {len(outcome.amiss)} amiss, {spent:.0f} s")
    sys.exit(bool(outcome.amiss))


if __name__ == "__main__":
    main()
