"""What the annotator's tests share: a fast network stand-in, a folder of images, and a server in a process."""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import httpx
import numpy as np
from PIL import Image
from pycocotools import mask as coco
from served import Server
from starlette.testclient import TestClient

from conftest import ColourRuntime, disc
from saywhere.annotate.computed import BrowserNetwork
from saywhere.annotate.db.database import Database
from saywhere.annotate.db.store import Store
from saywhere.annotate.image_folder import ImageFolder
from saywhere.annotate.inference.proposals import PhraseProposer
from saywhere.annotate.inference.queue import InferenceQueue
from saywhere.annotate.inference.segmenters import SegmenterCache
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.app import make_app
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Capabilities, Runtime

__all__ = ["Server"]  # beside what is defined here


class RedRuntime(ColourRuntime):
    """Finds the piece of the clicked colour; a phrase means what is red. Where nothing is clicked, it finds nothing."""

    name, digest = "red", "00red"
    capabilities = Capabilities(phrases=True, relevance=True)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        if not prompt.clicks:
            return np.full(features.shape[:2], -8.0, np.float32)
        logits = super().decode(features, prompt, previous)
        first = prompt.clicks[0]
        pieces = cv2.connectedComponents((logits > 0).astype(np.uint8))[1]
        row, column = (min(max(round(v), 0), n - 1) for v, n in zip((first.y, first.x), logits.shape, strict=True))
        return np.where(pieces == pieces[row, column], logits, -8.0).astype(np.float32)

    def relevance(self, features: np.ndarray, phrase: str) -> np.ndarray:
        return ((features[..., 0] > 150) & (features[..., 2] < 90)).astype(np.float32)


def fast() -> RedRuntime:
    """For ``--model annotator:fast``."""
    return RedRuntime()


class OneClickRuntime(RedRuntime):
    """Takes one positive click and nothing else."""

    name, digest = "one-click", "00one"
    capabilities = Capabilities(max_clicks=1, negative_clicks=False, drags=False)


def one_click() -> OneClickRuntime:
    """For ``--model annotator:one_click``."""
    return OneClickRuntime()


class PartsRuntime(RedRuntime):
    """Knows boxes, and gives three masks for a click: the piece of its colour, the piece without the yellow around it
    (the best one), and the piece with it. In a box, what is neither background nor yellow there, three times."""

    name, digest = "parts", "00parts"
    capabilities = Capabilities(phrases=True, relevance=True, boxes=True, candidates=3)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        return self.decode_candidates(features, prompt, previous)[0][1]

    def decode_candidates(
        self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        self.previous.append(previous)
        group = np.abs(features - BACKGROUND).max(axis=2) > 100
        whole = group & (np.abs(features - YELLOW).max(axis=2) > 60)
        masks = [np.zeros_like(group), whole, group]
        if prompt.box is not None:
            x0, y0, x1, y1 = (round(edge) for edge in prompt.box)
            inside = np.zeros_like(group)
            inside[max(y0, 0) : y1, max(x0, 0) : x1] = True
            masks = [whole & inside] * 3
        elif prompt.clicks:
            colours = np.abs(features - features[self._pixel(features, prompt)]).max(axis=2) < 60
            masks = [self._piece(mask, prompt) for mask in (colours, whole, group)]
        logits = np.stack([np.where(mask, 8.0, -8.0).astype(np.float32) for mask in masks])
        for click in prompt.clicks:
            if not click.positive:
                y, x = round(click.y), round(click.x)
                logits[:, max(y - 9, 0) : y + 10, max(x - 9, 0) : x + 10] = -8.0
        return logits, np.array([0.6, 0.9, 0.7], np.float32)

    @staticmethod
    def _pixel(features: np.ndarray, prompt: Prompt) -> tuple[int, int]:
        """Row and column of the first click."""
        first = prompt.clicks[0]
        height, width = features.shape[:2]
        return min(max(round(first.y), 0), height - 1), min(max(round(first.x), 0), width - 1)

    def _piece(self, mask: np.ndarray, prompt: Prompt) -> np.ndarray:
        """The component of a mask that the first click is in."""
        pieces = cv2.connectedComponents(mask.astype(np.uint8))[1]
        return mask & (pieces == pieces[self._pixel(mask, prompt)])


def parts() -> PartsRuntime:
    """For ``--model annotator:parts``."""
    return PartsRuntime()


BACKGROUND, YELLOW = (20, 40, 160), (220, 210, 40)


def picture(discs: list[tuple[int, int, int]], size: tuple[int, int] = (480, 640)) -> np.ndarray:
    """Red discs (x, y, radius) on blue."""
    image = np.zeros((*size, 3), np.uint8)
    image[...] = BACKGROUND
    for x, y, radius in discs:
        image[disc(*size, x, y, radius)] = (220, 30, 20)
    return image


def make_folder(folder: Path) -> Path:
    """Three images: one disc, two discs, no disc."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture([(300, 200, 60)])).save(folder / "a-one.png")
    Image.fromarray(picture([(180, 200, 60), (460, 280, 50)])).save(folder / "b-two.png")
    Image.fromarray(picture([])).save(folder / "c-none.png")
    return folder


def make_folder_with_parts(folder: Path, images: int = 1) -> Path:
    """Images of two red discs with a green disc in each; around the left one there is a yellow ring."""
    folder.mkdir(parents=True, exist_ok=True)
    image = picture([])
    for x, radius, colour in (
        (220, 150, YELLOW), (220, 110, (220, 30, 20)), (500, 80, (220, 30, 20)), (220, 50, (30, 220, 40)),
        (500, 40, (30, 220, 40)),
    ):  # fmt: skip
        image[disc(480, 640, x, 240, radius)] = colour
    for number in range(images):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def make(
    folder: Path, database: Database, study: str | None = None, max_bytes: int = 1 << 30,
    runtime: Runtime | None = None, network: BrowserNetwork | None = None,
) -> Annotator:  # fmt: skip
    images, segmenters = ImageFolder(folder), SegmenterCache(runtime or RedRuntime(), None, max_bytes)
    store = Store(database, images.root)
    annotator = Annotator(store, images, segmenters, InferenceQueue(), PhraseProposer(), study, network)
    annotator.rescan()
    return annotator


def open_client(annotator: Annotator, token: str | None = None, name: str = "test-client") -> TestClient:
    return TestClient(make_app(annotator, token), base_url="http://127.0.0.1", headers={"X-Saywhere-Client": name})


def click(x: float, y: float, **more: object) -> dict[str, object]:
    return {"kind": "click", "x": x, "y": y, **more}


def act(
    client: httpx.Client, image: int, action: dict[str, object], base: int | None = None, **more: object
) -> httpx.Response:
    """Do an action on an image as it is now, or as it was at ``base``."""
    if base is None:
        base = client.get(f"/api/images/{image}").json()["state"]["seq"]
    body = {"key": f"key-{time.time_ns()}", "base": base, "action": action, **more}
    return client.post(f"/api/images/{image}/events", json=body)


def mask_of(answer: dict[str, object], object: int) -> np.ndarray:
    number = next(o["mask"] for o in answer["objects"] if o["id"] == object)
    return coco.decode(answer["masks"][str(number)]).astype(bool)
