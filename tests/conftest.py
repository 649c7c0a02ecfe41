"""What tests share: a network stand-in, small data sets made on the spot, and the real data where it is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from saywhere.core import guidance
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Runtime

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from starlette.testclient import TestClient

    from saywhere.annotate.service import Annotator
    from saywhere.runtime.torch import TorchRuntime

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # read when huggingface_hub is imported
# One thread for each test process, also for those it starts. OpenMP's threads spin while they wait: where other
# processes want the cores, a step of training takes ten times as long with two threads as with one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
BESIDE = Path(__file__).parents[2] / "shared" / "data"
if "SAYWHERE_DATA" not in os.environ and BESIDE.is_dir():
    os.environ["SAYWHERE_DATA"] = str(BESIDE)


# A busy machine is no fault of an example.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Half as many processes again as there are cores: tests of pages and of killed processes mostly wait."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + cores // 2


HOLD_AT = "SAYWHERE_TEST_HOLD_AT"


def hold(encoded: int) -> None:
    """Wait until the process that started this one is gone, once so many images are encoded as the environment says.

    So a test can kill a process half-way, however slow either of them is.
    """
    most, parent = int(os.environ.get(HOLD_AT, "0")), os.getppid()
    while 0 < most <= encoded and os.getppid() == parent:
        time.sleep(0.05)


class ColourRuntime(Runtime):
    """Finds all pixels of the first click's colour, less a square around each negative click. Counts its work."""

    name, digest = "colour", "0"

    def __init__(self) -> None:
        self.encoded: list[tuple[int, int]] = []
        self.previous: list[np.ndarray | None] = []

    def encode(self, image: np.ndarray) -> np.ndarray:
        self.encoded.append(image.shape[:2])
        hold(len(self.encoded))
        return image.astype(np.float32)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        self.previous.append(previous)
        height, width = features.shape[:2]
        first = prompt.clicks[0]
        row, column = min(max(round(first.y), 0), height - 1), min(max(round(first.x), 0), width - 1)
        same = np.abs(features - features[row, column]).max(axis=2) < 60
        logits = np.where(same, 8.0, -8.0).astype(np.float32)
        for click in prompt.clicks:
            if not click.positive:
                y, x = round(click.y), round(click.x)
                logits[max(y - 9, 0) : y + 10, max(x - 9, 0) : x + 10] = -8.0
        return logits


class DiscRuntime(ColourRuntime):
    """A disc around each positive click: never right at once, so there is always more to say."""

    name = "disc"

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        drawn = guidance.maps(prompt, features.shape[:2], "disk", radius=40.0)
        return 16.0 * (drawn[0] > drawn[1]).astype(np.float32) - 8.0


@pytest.fixture
def runtime() -> ColourRuntime:
    return ColourRuntime()


def disc(height: int, width: int, x: int, y: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


@pytest.fixture
def photo() -> np.ndarray:
    """A red disc of radius 40 at (300, 200) on blue, 640x480."""
    image = np.zeros((480, 640, 3), np.uint8)
    image[...] = (20, 40, 160)
    image[disc(480, 640, 300, 200, 40)] = (220, 30, 20)
    return image


def polygon_of(x: int, y: int, w: int, h: int) -> list[list[float]]:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """Six photographs of one bright rectangle each, as COCO JSON with polygons, in ``tmp_path``."""
    rng = np.random.default_rng(0)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (tmp_path / "set").mkdir()
    for i in range(1, 7):
        pixels = rng.integers(0, 60, (90, 120, 3), dtype=np.uint8)
        x, y, w, h = 20 + 4 * i, 15 + 3 * i, 50, 40
        pixels[y : y + h, x : x + w] = (230, 200, 20 * i)
        Image.fromarray(pixels).save(tmp_path / "set" / f"{i}.png")
        images.append({"id": i, "file_name": f"set/{i}.png", "width": 120, "height": 90})
        annotations.append(
            {"id": i, "image_id": i, "category_id": 1, "iscrowd": 0, "segmentation": polygon_of(x, y, w, h)}
        )
    path = tmp_path / "data.json"
    categories = [{"id": 1, "name": "card"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of data sets, empty."""
    monkeypatch.setenv("SAYWHERE_DATA", str(tmp_path))
    return tmp_path


# What needs torch or the server's libraries is imported by those who use it.


@pytest.fixture(scope="module")
def network() -> TorchRuntime:
    """A tiny network with a purification layer, not trained."""
    import torch

    from saywhere.models.saywhere import Saywhere
    from saywhere.runtime.torch import TorchRuntime

    torch.manual_seed(0)
    model = Saywhere(widths=(8, 8, 16, 16), key=8).eval()
    with torch.no_grad():
        model.head[1].bias += 0.05  # untrained logits are about 0: some pixels are always inside
    return TorchRuntime(model, "tiny", "digest-a", "cpu")


@pytest.fixture
def annotator(tmp_path: Path) -> Iterator[Annotator]:
    """A project of three photographs in ``tmp_path / "photos"``, with a fast network stand-in."""
    from annotator import make, make_folder

    from saywhere.annotate.db.database import Database, default_database_url

    database = Database(default_database_url(make_folder(tmp_path / "photos")))
    made = make(tmp_path / "photos", database)
    yield made
    made.queue.close()
    database.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One for all tests: it takes seconds to start. Each test opens a context of its own."""
    from page import launched

    with launched() as made:
        yield made


@pytest.fixture
def client(annotator: Annotator) -> TestClient:
    from annotator import open_client

    return open_client(annotator)
