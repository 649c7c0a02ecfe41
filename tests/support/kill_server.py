"""Kills the annotator at random moments under load and checks whether anything that was answered is missing.

Four clients click, brush and undo on an image each as fast as they are answered; after every kill the database is
checked as a whole, its events are replayed, and every answer that any client ever got is compared with what is stored.
The requests that got no answer, and those answered last, are sent again to the next server: none is done twice. A
stand-in for the network answers, so that it is the storing that is tested.
"""

from __future__ import annotations

import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from saywhere.annotate.events import Event, EventHistory, ImageState
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Runtime

CLIENTS = 4
EVENTS = "SELECT image_id, seq, kind, object, data, masked, score, area FROM saywhere_event ORDER BY image_id, seq"


class LastClickRuntime(Runtime):
    """A disc around the last click: all that is needed of a network here."""

    name, digest = "last-click", "0last-click"

    def encode(self, image: np.ndarray) -> tuple[int, int]:
        return image.shape[0], image.shape[1]

    def decode(self, features: tuple[int, int], prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        rows, columns = np.mgrid[: features[0], : features[1]]
        last = prompt.clicks[-1]
        return (20.0 - np.hypot(columns - last.x, rows - last.y)).astype(np.float32)


def last_click() -> LastClickRuntime:
    """For ``--model kill_server:last_click``."""
    return LastClickRuntime()


@dataclass
class Outcome:
    """How many answers there were over all rounds, and which of them were not stored, or stored differently."""

    kills: int = 0
    answers: int = 0
    resent: int = 0
    faults: list[str] = field(default_factory=list)


class Client(threading.Thread):
    """Edits one image until the server is gone; ``answers`` are by number of the event.

    ``resent`` are requests of the round before, which are sent first; ``unanswered`` is the one that got no answer.
    """

    def __init__(self, url: str, image: int, seed: int, resent: Sequence[dict[str, Any]] = ()) -> None:
        super().__init__(daemon=True)
        self.http = httpx.Client(base_url=url, headers={"X-Saywhere-Client": f"client-{image:04}"}, timeout=120)
        self.image, self.rng = image, random.Random(seed)
        self.answers: dict[int, dict[str, Any]] = {}
        self.fault: str | None = None
        self.resent, self.unanswered, self.last = resent, None, None

    def run(self) -> None:
        try:
            for body in self.resent:
                self.send(body)
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
        state = self.send(body)
        self.last = body
        self.answers[state["seq"]] = {"key": key, "masks": state["masks"], "state": state}
        return state

    def send(self, body: dict[str, Any]) -> dict[str, Any]:
        self.unanswered = body
        answer = self.http.post(f"/api/images/{self.image}/events", json=body)
        answer.raise_for_status()
        self.unanswered = None
        return answer.json()

    def to_resend(self) -> list[dict[str, Any]]:
        """What the next server gets again: the request answered last, then the one without an answer."""
        return [body for body in (self.last, self.unanswered) if body is not None]

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
        f"sqlite:///{database}", "--model", "kill_server:last_click",
    ]  # fmt: skip
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"open (http://\S+)", line):
            return process, found[1]
    raise RuntimeError("the server did not start")


def check(database: Path, answers: dict[int, dict[int, dict[str, Any]]]) -> list[str]:
    """Faults of the file as a whole, or of any answer (by image and number of the event)."""
    with sqlite3.connect(database) as connection:
        whole = connection.execute("PRAGMA integrity_check").fetchone()[0]
        rows = connection.execute("SELECT image_id, seq, key, mask FROM saywhere_event").fetchall()
        counted = dict(connection.execute("SELECT id, seq FROM saywhere_image").fetchall())
        shown = {id: rest for id, *rest in connection.execute("SELECT id, state, objects FROM saywhere_image")}
        events = connection.execute(EVENTS).fetchall()
    faults = [] if whole == "ok" else [f"integrity: {whole}"]
    stored = {(image, seq): (key, mask) for image, seq, key, mask in rows}
    for image, seq in counted.items():
        if {s for i, s in stored if i == image} != set(range(1, seq + 1)):
            faults.append(f"image {image}: its events are not 1 to {seq}")
    if len({(image, key) for image, _, key, _ in rows}) < len(rows):
        faults.append("a key is stored twice")
    for image in counted:
        history = EventHistory.replay(
            Event(seq, kind, object, json.loads(data), bool(masked), score, area)
            for of, seq, kind, object, data, masked, score, area in events
            if of == image
        )
        if shown[image] != [history.state.status, len(history.state.objects)]:
            faults.append(f"image {image}: {shown[image]} is not the replay of its events")
        last = max(answers.get(image, {}), default=None)
        if last is not None and last == history.state.seq:
            faults += compare(image, answers[image][last]["state"], history.state)
    for image, own in answers.items():
        for seq, answer in own.items():
            key, _ = stored.get((image, seq), (None, None))
            if key != answer["key"]:
                faults.append(f"image {image}, event {seq}: answered, not stored")
            for number, mask in answer["masks"].items():
                stored_mask = stored.get((image, int(number)), (None, b""))[1]
                if stored_mask is None or stored_mask.decode() != mask["counts"]:
                    faults.append(f"image {image}, event {seq}: mask {number} is another one")
    return faults


def compare(image: int, answered: dict[str, Any], replayed: ImageState) -> list[str]:
    """Faults of the state that a client was answered, compared with the replay of the stored events."""
    objects = {
        one.id: (one.mask, one.area, len(one.clicks), len(one.strokes), one.label)
        for one in replayed.objects.values()
    }  # fmt: skip
    shown = {
        one["id"]: (one["mask"], one["area"], len(one["clicks"]), one["strokes"], one["label"])
        for one in answered["objects"]
    }
    return [] if objects == shown else [f"image {image}, event {answered['seq']}: replayed as another state"]


def run(folder: Path, kills: int, seed: int = 0, longest: float = 0.8) -> Outcome:
    """Start, edit, kill within ``longest`` seconds of editing, check; ``kills`` times."""
    rng, outcome = random.Random(seed), Outcome()
    images, database = folder / "images", folder / "kill.sqlite"
    images.mkdir()
    for i in range(CLIENTS):
        Image.new("RGB", (320, 240), (40 * i, 80, 120)).save(images / f"{i}.png")
    answers: dict[int, dict[int, dict[str, Any]]] = {i + 1: {} for i in range(CLIENTS)}
    resent: dict[int, list[dict[str, Any]]] = {}
    for round_ in range(kills):
        process, url = start(images, database)
        clients = [Client(url, image, seed + 1000 * round_ + image, resent.get(image, ())) for image in answers]
        for client in clients:
            client.start()
        until = time.monotonic() + 300
        while not any(client.answers for client in clients) and time.monotonic() < until:
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, longest))
        process.kill()
        process.wait()
        for client in clients:
            client.join(120)
            answers[client.image] |= client.answers
            outcome.answers += len(client.answers)
            outcome.resent += len(client.resent)
            resent[client.image] = client.to_resend()
            if client.fault:
                outcome.faults.append(client.fault)
        outcome.kills += 1
        outcome.faults += check(database, answers)
        if outcome.faults:
            break
    return outcome
