"""Work is done once: files are read once, events applied once, masks that were just made are not decoded, images are
not copied; and what a server does not need is not imported."""

from __future__ import annotations

import builtins
import io
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import act, click, open_client
from PIL import Image
from sqlalchemy import event as sqlalchemy_event

from saywhere.annotate import events
from saywhere.annotate.image_folder import ImageFolder
from saywhere.annotate.region import Region
from saywhere.annotate.service import Annotator

STROKE = {"kind": "brush", "paint": True, "radius": 8, "points": [[20, 20], [60, 20]]}


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each image file was opened, by its name."""
    counted: Counter[str] = Counter()

    def count(open_file: Any) -> Any:
        def opened(file: Any, *args: Any, **options: Any) -> Any:
            if isinstance(file, str | Path) and str(file).endswith((".png", ".jpg")):
                counted[Path(file).name] += 1
            return open_file(file, *args, **options)

        return opened

    monkeypatch.setattr(os, "open", count(os.open))
    monkeypatch.setattr(io, "open", count(io.open))
    monkeypatch.setattr(builtins, "open", count(builtins.open))
    return counted


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of events as they are applied to a state."""
    numbers: list[int] = []
    apply_event = events.apply_event

    def apply(state: events.ImageState, event: events.Event) -> events.ImageState:
        numbers.append(event.seq)
        return apply_event(state, event)

    monkeypatch.setattr(events, "apply_event", apply)
    return numbers


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Masks as they are decoded."""
    masks: list[bytes] = []
    decode = Region.decode.__func__  # type: ignore[attr-defined]

    def count(cls: type[Region], counts: bytes, size: Any) -> Region:
        masks.append(counts)
        return decode(cls, counts, size)

    monkeypatch.setattr(Region, "decode", classmethod(count))
    return masks


def test_a_file_is_read_once(annotator: Annotator, opens: Counter[str]) -> None:
    client = open_client(annotator)
    client.get("/api/images/1").raise_for_status()
    client.get("/api/images/1/picture").raise_for_status()
    act(client, 1, click(300, 200)).raise_for_status()
    act(client, 1, click(310, 200, object=1)).raise_for_status()
    assert opens == {"a-one.png": 1}


def test_pixels_are_not_copied(annotator: Annotator) -> None:
    image = annotator.load_image(1)
    assert annotator.segmenters.encode(image).encoded.image is image.pixels
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0, 0] = 0


def test_grey_images_are_not_copied_either(annotator: Annotator, tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 40 * 60).reshape(40, 60).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "photos" / "a-one.png")
    image = ImageFolder(tmp_path / "photos").load("a-one.png")
    assert annotator.segmenters.encode(image).encoded.image is image.pixels


def test_each_event_is_applied_once(annotator: Annotator, applied: list[int]) -> None:
    client = open_client(annotator)
    for step in range(4):
        act(client, 1, click(300 + step, 200, object=1 if step else None)).raise_for_status()
    client.get("/api/images/1").raise_for_status()
    assert applied == [1, 2, 3, 4]
    act(client, 1, {"kind": "undo"}).raise_for_status()
    assert applied == [1, 2, 3, 4], "undo goes back to a state that is kept"
    applied.clear()
    act(client, 1, {"kind": "redo"}).raise_for_status()
    assert applied == [4]


def test_another_server_s_events_are_applied_too(annotator: Annotator, applied: list[int], tmp_path: Path) -> None:
    from annotator import make

    client = open_client(annotator)
    act(client, 1, click(300, 200)).raise_for_status()
    other = make(tmp_path / "photos", annotator.store.database)
    act(open_client(other), 1, click(310, 200, object=1)).raise_for_status()
    applied.clear()
    assert client.get("/api/images/1").json()["state"]["seq"] == 2
    assert applied == [2]
    other.close()


def test_statistics_replay_each_image_once(annotator: Annotator, applied: list[int]) -> None:
    client = open_client(annotator)
    act(client, 1, click(300, 200)).raise_for_status()
    act(client, 1, click(310, 200, object=1)).raise_for_status()
    applied.clear()
    client.get("/api/stats").raise_for_status()
    assert applied == [1, 2]


def test_masks_that_were_just_made_are_not_decoded(annotator: Annotator, decoded: list[bytes]) -> None:
    client = open_client(annotator)
    label = client.post("/api/labels", json={"name": "ball"}).json()["id"]
    act(client, 2, click(180, 200, label=label)).raise_for_status()
    act(client, 2, STROKE | {"object": 1}).raise_for_status()
    act(client, 2, STROKE | {"object": 1, "paint": False}).raise_for_status()
    assert client.get("/api/images/2/proposal", params={"label": label}).json()["x"] is not None
    act(client, 2, {"kind": "mark", "value": "done"}).raise_for_status()
    assert decoded == []


def test_stored_masks_are_read_once_for_an_answer(annotator: Annotator) -> None:
    client = open_client(annotator)
    client.get("/api/images/1").raise_for_status()
    statements: list[str] = []

    @sqlalchemy_event.listens_for(annotator.store.database._engine, "before_cursor_execute")
    def count(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if statement.startswith("SELECT") and re.search(r"saywhere_event\.mask\b", statement):
            statements.append(statement)

    act(client, 1, click(300, 200), base=0).raise_for_status()
    assert statements == [], "the answer's mask is in memory"
    sqlalchemy_event.remove(annotator.store.database._engine, "before_cursor_execute", count)


SCRIPT = """
import sys, tempfile
from pathlib import Path
sys.path[:0] = {paths!r}
import saywhere.annotate.web.server
from annotator import make, make_folder, open_client, act, click
from saywhere.annotate.db.database import Database, default_database_url
with tempfile.TemporaryDirectory() as place:
    folder = make_folder(Path(place) / "images")
    annotator = make(folder, Database(default_database_url(folder)))
    client = open_client(annotator)
    imported = sorted({{".".join(name.split(".")[:depth]) for name in sys.modules for depth in (1, 2)}})
    act(client, 1, click(300, 200)).raise_for_status()
    act(client, 1, {{"kind": "mark", "value": "done"}}).raise_for_status()
    annotator.close()
    assert "torch" not in sys.modules
print("\\n".join(imported))
"""


def test_the_server_imports_no_torch_and_no_other_product() -> None:
    support = Path(__file__).parents[1] / "support"
    script = SCRIPT.format(paths=[str(support), str(support.parent)])
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    imported = set(result.stdout.split())
    unwanted = {"torch", "timm", "torchvision", "skimage", "matplotlib", "saywhere.evaluation", "saywhere.prelabel",
                "saywhere.training", "saywhere.models", "saywhere.data", "scipy"}  # fmt: skip
    assert imported & unwanted == set()
