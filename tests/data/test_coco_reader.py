"""The one reader of COCO JSON, and that measuring, conversion and pre-labelling find the same faults in one file."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from conftest import polygon_of
from saywhere import SaywhereError
from saywhere.core.geometry import ImageSize
from saywhere.data import formats
from saywhere.data.coco import class_name_of, file_name_of, read_coco_file, region_of, size_of
from saywhere.data.datasets import read_coco
from saywhere.prelabel import read_request

Content = dict[str, Any]
BOX = [10, 5, 15, 10]


@pytest.fixture(params=["small", "large"], autouse=True)
def size(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read whole, and as large ones are: by an index."""
    if request.param == "large":
        pytest.importorskip("msgspec")
        monkeypatch.setattr("saywhere.data.coco_index.LARGE", 0)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def content() -> Content:
    return {
        "images": [{"id": i, "file_name": f"in/{i}.png", "width": 60, "height": 40} for i in (1, 2)],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 3, "bbox": BOX, "segmentation": polygon_of(*BOX)}
            for i in (1, 2)
        ],
        "categories": [{"id": 3, "name": "cat"}],
    }  # fmt: skip


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    """Writes a COCO file; its two images are beside it."""
    (tmp_path / "in").mkdir()
    for i in (1, 2):
        Image.new("RGB", (60, 40)).save(tmp_path / "in" / f"{i}.png")

    def write(given: Any) -> Path:
        path = tmp_path / "set.json"
        path.write_text(given if isinstance(given, str) else json.dumps(given))
        return path

    return write


def edited(edit: Callable[[Content], object]) -> Content:
    changed = content()
    edit(changed)
    return changed


def test_a_sound_file(save: Callable[[Any], Path]) -> None:
    file = read_coco_file(save(content()))
    file.raise_faults()
    assert (list(file.images), list(file.categories), file.class_names()) == ([1, 2], [3], {3: "cat"})
    image, annotation = file.images[1], file.annotations[0]
    assert (file_name_of(image), size_of(image)) == ("in/1.png", ImageSize(40, 60))
    assert class_name_of(annotation, file.class_names()) == "cat"
    assert region_of(annotation, ImageSize(40, 60)).box == (10, 5, 15, 10)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read as COCO JSON"),
        ('{"images": [', "cannot be read as COCO JSON"),
        ("[" * 100_000, "cannot be read as COCO JSON"),
        ("[]", "not COCO JSON; the lists images, annotations, categories are needed"),
        ('{"images": {}, "annotations": [], "categories": []}', "not COCO JSON"),
    ],
)
def test_what_is_no_coco_file_at_all(save: Callable[[Any], Path], text: str, words: str) -> None:
    path = save(text)
    with pytest.raises(SaywhereError, match=words) as caught:
        read_coco_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


STRUCTURE: list[tuple[Callable[[Content], object], str]] = [
    (lambda c: c["images"][1].update(id=1), "image 1: another has the same id"),
    (lambda c: c["images"].append(c["images"][0]), "image 1: another has the same id"),
    (lambda c: c["images"][0].pop("id"), "image number 1: an id of its own"),
    (lambda c: c["images"].append(7), "image number 3: expected an object"),
    (lambda c: c["annotations"][1].update(id=1), "annotation 1: another has the same id"),
    (lambda c: c["annotations"].append([]), "annotation number 3: expected an object"),
    (lambda c: c["annotations"][0].update(image_id=9), "annotation 1: image_id 9: no such image"),
    (lambda c: c["annotations"][0].pop("image_id"), "annotation 1: image_id None: no such image"),
    (lambda c: c["categories"].append({"id": 3, "name": "dog"}), "category 3: another has the same id"),
]


@pytest.mark.parametrize(("edit", "words"), STRUCTURE)
def test_faults_of_structure_are_the_same_for_all(
    save: Callable[[Any], Path], edit: Callable[[Content], object], words: str
) -> None:
    path = save(edited(edit))
    assert any(words in fault for fault in read_coco_file(path).faults)
    for read in (read_coco, formats.read):
        with pytest.raises(SaywhereError) as caught:
            read(path)
        assert words in str(caught.value)
    assert any(words in fault for fault in read_request(path).faults)


@pytest.mark.parametrize("wrong", [[1], {}, True, float("nan"), 10**400])
def test_ids_of_the_wrong_kind(save: Callable[[Any], Path], wrong: object) -> None:
    for edit in (lambda c: c["images"][0].update(id=wrong), lambda c: c["annotations"][0].update(image_id=wrong)):
        with pytest.raises(SaywhereError, match="wrong kind"):
            read_coco_file(save(edited(edit)))


def test_a_category_listed_twice_does_no_harm(save: Callable[[Any], Path]) -> None:
    file = read_coco_file(save(edited(lambda c: c["categories"].append({"id": 3, "name": "cat"}))))
    assert not file.faults


def test_many_faults_are_counted(save: Callable[[Any], Path]) -> None:
    def edit(c: Content) -> None:
        c["annotations"] = [{**c["annotations"][0], "id": i, "image_id": 9} for i in range(1, 11)]

    with pytest.raises(SaywhereError, match=r"annotation 3: .*; and 7 faults more$"):
        read_coco_file(save(edited(edit))).raise_faults()


SEGMENTATIONS: list[tuple[Any, str]] = [
    ([[float("nan"), 10, 30, 10, 30, 25]], "three points"),
    ([[float("inf"), 10, 30, 10, 30, 25]], "three points"),
    ([[0, 0, 1e12, 0, 5, 5]], "three points"),
    ({"size": [40, 60], "counts": [10, 20, 30]}, "cover 60 pixels"),
    ({"size": [60, 40], "counts": [2400]}, "size"),
    ({"size": [40, 60], "counts": "nonsense"}, "run lengths"),
]


@pytest.mark.parametrize(("segmentation", "words"), SEGMENTATIONS)
def test_damaged_segmentations_are_faults_of_measuring_and_of_conversion(
    save: Callable[[Any], Path], segmentation: Any, words: str, tmp_path: Path
) -> None:
    path = save(edited(lambda c: c["annotations"][1].update(segmentation=segmentation)))
    _, sample = read_coco(path)
    with pytest.raises(SaywhereError, match=words) as caught:
        sample.target()
    assert f"file '{path}': annotation 2: " in str(caught.value)
    with pytest.raises(formats.FaultsError, match=words):
        formats.convert(path, tmp_path / "out.json", "coco")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (
            lambda c: [c["annotations"][1].pop(key) for key in ("segmentation", "bbox")],
            "annotation 2 of image 2: segmentation",
        ),
        (lambda c: c["annotations"][1].update(category_id=9), "annotation 2 of image 2: category_id 9"),
        (lambda c: c["images"][1].update(width=10**9), "image 2: width 1000000000"),
        (lambda c: c["images"][1].update(height=None), "image 2: width 60, height None"),
        (lambda c: c["images"][1].pop("file_name"), "image 2: file name None"),
        (lambda c: c["categories"][0].pop("name"), "category 3: a name is needed"),
    ],
)
def test_entries_that_cannot_be_measured(
    save: Callable[[Any], Path], edit: Callable[[Content], object], words: str
) -> None:
    with pytest.raises(SaywhereError, match=words):
        read_coco(save(edited(edit)))


def test_names_that_windows_wrote(save: Callable[[Any], Path]) -> None:
    path = save(edited(lambda c: c["images"][0].update(file_name="in\\1.png")))
    assert read_coco(path)[0].image_path == path.parent / "in" / "1.png"
    assert formats.read(path).images[0]().path == path.parent / "in" / "1.png"
    request = read_request(path)
    assert not request.faults
    assert request.prompts[0].path == path.parent / "in" / "1.png"


def test_categories_are_not_needed_where_only_places_are_asked_for(save: Callable[[Any], Path]) -> None:
    path = save(edited(lambda c: c.pop("categories")))
    assert not read_coco_file(path, categories_needed=False).faults
    assert read_request(path).objects == 2
    with pytest.raises(SaywhereError, match="categories are needed"):
        read_coco(path)


def test_the_former_module_warns_and_checks() -> None:
    sys.modules.pop("saywhere.datasets", None)
    sys.modules.pop("saywhere.datasets.coco", None)
    with pytest.warns(DeprecationWarning, match=r"use saywhere\.data\.datasets"):
        former = importlib.import_module("saywhere.datasets.coco")
    with pytest.raises(SaywhereError, match="cover 60 pixels"):
        former.decode({"size": [480, 640], "counts": [10, 20, 30]}, (480, 640))
