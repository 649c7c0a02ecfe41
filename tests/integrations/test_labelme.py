"""Our network as a model of osam, called as labelme calls it; labelme's own lists by a stand-in."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import types
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saywhere
from saywhere import SaywhereError
from saywhere.core.images import read_image

osam = pytest.importorskip("osam")
importlib.import_module("osam.apis")
adapter = importlib.import_module("integrations.labelme.model")

ROOT = Path(__file__).parents[2]
CAT = ROOT / "src/saywhere/annotate/samples/chelsea.jpg"


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    before = list(osam.apis.registered_model_types)
    monkeypatch.setattr(osam.apis, "running_model", None)
    yield adapter.register()
    osam.apis.registered_model_types[:] = before


class Session:
    """What labelme's session does: it encodes an image once, and sends all points with each request."""

    def __init__(self, image: np.ndarray) -> None:
        self.model, self.image = osam.apis.get_model_type_by_name("saywhere")(), image
        self.embedding = self.model.encode_image(image=image)

    def run(self, **prompt: Any) -> list[Any]:
        request = osam.types.GenerateRequest(
            model=self.model.name, image=self.image, image_embedding=self.embedding, prompt=osam.types.Prompt(**prompt)
        )
        return self.model.generate(request=request).annotations

    def points(self, *points: tuple[float, float, int]) -> np.ndarray:
        labelled = np.array(points, float)
        (one,) = self.run(points=labelled[:, :2], point_labels=labelled[:, 2].astype(np.intp))
        return whole(one, self.image.shape[:2])


def whole(annotation: Any, size: tuple[int, ...]) -> np.ndarray:
    mask, box = np.zeros(size, np.bool_), annotation.bounding_box
    mask[box.ymin : box.ymax + 1, box.xmin : box.xmax + 1] = annotation.mask
    return mask


def test_points_and_boxes_are_those_of_a_segmenter(registered: Any) -> None:
    session, own = Session(read_image(CAT)), saywhere.load().set_image(CAT)
    assert registered.get_size() is not None, "labelme downloads nothing"
    first = own.click(230, 140).array
    assert (session.points((230, 140, 1)) == first).all()
    assert (session.points((230, 140, 1), (60, 60, 0)) == own.click(60, 60, positive=False).array).all()
    assert (session.points((230, 140, 1)) == first).all(), "a point that was taken back"
    expected = own.new_object().box(100.5, 20.5, 420.5, 290.5).array
    assert (session.points((100, 20, 2), (420, 290, 3)) == expected).all()


def test_texts_give_every_object_with_its_text(registered: Any) -> None:
    session, own = Session(read_image(CAT)), saywhere.load().set_image(CAT)
    found = session.run(texts=["cat"], score_threshold=0.01, iou_threshold=1.0, max_annotations=1000)
    expected = own.instances("cat")
    assert len(expected) > 0
    assert [one.text for one in found] == ["cat"] * len(expected)
    assert all((whole(a, own.encoded.size) == b.mask.array).all() for a, b in zip(found, expected, strict=True))
    with pytest.raises(SaywhereError, match="qqxzv"):
        session.run(texts=["qqxzv"])


def test_images_are_kept_and_an_old_one_is_encoded_again(registered: Any, photo: np.ndarray) -> None:
    session = Session(photo)
    before = session.points((300, 200, 1))
    for _ in range(adapter.MAX_IMAGES + 1):
        session.model.encode_image(np.zeros((40, 50, 3), np.uint8))
    assert (session.points((300, 200, 1)) == before).all()


def test_osams_own_function_and_its_default_prompt(registered: Any, photo: np.ndarray) -> None:
    answer = osam.apis.generate(osam.types.GenerateRequest(model="saywhere", image=photo))
    assert answer.model == "saywhere:latest"
    with pytest.raises(SaywhereError, match="the image is not known any more"):
        osam.apis.generate(osam.types.GenerateRequest(model="saywhere"))


@pytest.mark.parametrize("labels", [[2], [3], [2, 2], [2, 1]])
def test_half_a_box_is_refused_in_one_line(registered: Any, photo: np.ndarray, labels: list[int]) -> None:
    session = Session(photo)
    with pytest.raises(SaywhereError, match=r"labelme: point labels \[.*a box") as caught:
        session.run(points=np.array([[9.0, 9.0]] * len(labels)), point_labels=np.array(labels))
    assert "\n" not in str(caught.value)


Option = namedtuple("Option", "model_name display_name supports_point_prompts")


def stand_in(monkeypatch: pytest.MonkeyPatch, **names: Any) -> types.ModuleType:
    """labelme's two modules with lists, as far as the adapter uses them; labelme itself needs Python 3.12 and Qt."""
    models, widget = types.ModuleType("labelme._ai_models"), types.ModuleType("labelme._widgets._ai_text")
    models.__dict__.update(names)
    widget.__dict__["AiTextToAnnotationWidget"] = type("Widget", (), {"_available_models": [("sam3:latest", "SAM3")]})
    monkeypatch.setitem(sys.modules, "labelme", types.ModuleType("labelme"))
    monkeypatch.setitem(sys.modules, "labelme._ai_models", models)
    monkeypatch.setitem(sys.modules, "labelme._widgets", types.ModuleType("labelme._widgets"))
    monkeypatch.setitem(sys.modules, "labelme._widgets._ai_text_to_annotation_widget", widget)
    return models


def test_labelmes_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    lists = importlib.import_module("integrations.labelme.lists")
    monkeypatch.setattr(lists, "version", lambda _: "9.9")
    models = stand_in(
        monkeypatch, AiAssistModelOption=Option, AI_ASSIST_MODEL_OPTIONS=(Option("sam2:latest", "Sam2", True),)
    )
    lists.extend_lists()
    lists.extend_lists()
    assert [each.model_name for each in models.AI_ASSIST_MODEL_OPTIONS] == ["saywhere:latest", "sam2:latest"]
    widget = sys.modules["labelme._widgets._ai_text_to_annotation_widget"].AiTextToAnnotationWidget
    assert widget._available_models == [("saywhere:latest", "Saywhere"), ("sam3:latest", "SAM3")]
    stand_in(monkeypatch)
    with pytest.raises(
        SaywhereError, match=r"labelme 9\.9: its lists of models are not those of 7\.1 .*; install labelme"
    ):
        lists.extend_lists()


def test_without_labelme_one_line_says_what_to_install() -> None:
    pytest.importorskip("osam")
    if importlib.util.find_spec("labelme") is not None:
        pytest.skip("labelme is installed")
    done = subprocess.run(
        [sys.executable, "-m", "integrations.labelme"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pip install labelme" in done.stderr
    assert done.stderr.count("\n") == 1
