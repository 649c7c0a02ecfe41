"""Round trips through each format: what it holds comes back bit for bit, what it does not is said."""

from __future__ import annotations

import gc
import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from conftest import disc
from saywhere import SaywhereError
from saywhere.core.geometry import ImageSize
from saywhere.core.metrics import iou
from saywhere.data import formats
from saywhere.data.formats import AnnotatedImage, ObjectAnnotation, WriteOptions

FEW = settings(max_examples=40)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
WORDS = st.text("abcdeéß :,#\"'<&漢", min_size=1, max_size=12).map(str.strip).filter(bool)
SCORES = st.none() | st.floats(0, 1)
SIDES = st.integers(1, 20)


def masks(side: st.SearchStrategy[tuple[int, int]]) -> st.SearchStrategy[list[np.ndarray]]:
    return side.flatmap(lambda size: st.lists(arrays(bool, size), min_size=1, max_size=4))


MASKS = masks(st.tuples(SIDES, SIDES))
MAPS = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, 5)))


def annotated_image(objects: list[ObjectAnnotation], file: str = "a.jpg") -> AnnotatedImage:
    region = objects[0].region
    return AnnotatedImage(file, region.size, tuple(objects))


def there_and_back(
    photos: list[AnnotatedImage], format_name: str, options: WriteOptions
) -> tuple[list[AnnotatedImage], list[str]]:
    """The photographs as read again, and the notes of writing. Photographs without a file get a black one."""
    with tempfile.TemporaryDirectory() as folder:
        given_, dest = Path(folder) / "given", Path(folder) / ("out.json" if format_name == "coco" else "out")
        placed = []
        for image in photos:
            path = given_ / image.file_name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", image.size[::-1]).save(path)
            placed.append(AnnotatedImage(image.file_name, image.size, image.objects, path))
        outcome = formats.write(placed, dest, format_name, options)
        assert (outcome.images, outcome.objects) == (len(photos), sum(len(image.objects) for image in photos))
        return [each() for each in formats.read(dest).images], outcome.notes


def same(found: list[AnnotatedImage], expected: list[AnnotatedImage]) -> None:
    assert [(p.file_name, p.size, p.objects) for p in found] == [(p.file_name, p.size, p.objects) for p in expected]


def apart(numbers: np.ndarray) -> list[np.ndarray]:
    """The masks of a map of numbers: they do not overlap."""
    return [numbers == number for number in np.unique(numbers[numbers > 0])]


class TestBitForBit:
    @FEW
    @given(MASKS, st.data())
    def test_coco(self, given_: list[np.ndarray], data: st.DataObject) -> None:
        objects = [
            ObjectAnnotation.from_mask(mask, data.draw(TEXT), data.draw(SCORES), data.draw(TEXT | st.none()))
            for mask in given_
        ]
        photos = [annotated_image(objects), AnnotatedImage("no/objects.png", ImageSize(2, 3))]
        found, notes = there_and_back(photos, "coco", WriteOptions())
        same(found, photos)
        assert all(np.array_equal(each.mask, mask) for each, mask in zip(found[0].objects, given_, strict=True))
        assert not notes

    @FEW
    @given(MASKS)
    def test_coco_polygons_with_holes_and_pieces(self, given_: list[np.ndarray]) -> None:
        photos = [annotated_image([ObjectAnnotation.from_mask(mask, "a") for mask in given_])]
        found, notes = there_and_back(photos, "coco", WriteOptions(polygons=True))
        same(found, photos)
        assert len(notes) == sum(not mask.any() for mask in given_)

    @FEW
    @given(MASKS, st.data())
    def test_labelme_masks(self, given_: list[np.ndarray], data: st.DataObject) -> None:
        some = [mask for mask in given_ if mask.any()] or [np.ones((2, 3), bool)]
        photos = [
            annotated_image(
                [
                    ObjectAnnotation.from_mask(m, data.draw(TEXT), data.draw(SCORES), data.draw(TEXT | st.none()))
                    for m in some
                ]
            ),
            AnnotatedImage("no/objects.png", ImageSize(2, 3)),
        ]
        found, notes = there_and_back(photos, "labelme", WriteOptions())
        same(found, photos)
        assert not notes

    @FEW
    @given(MAPS, st.data())
    def test_voc(self, numbers: np.ndarray, data: st.DataObject) -> None:
        objects = tuple(
            ObjectAnnotation.from_mask(mask, data.draw(WORDS.map(lambda w: " ".join(w.split()))))
            for mask in apart(numbers)
        )
        photos = [
            AnnotatedImage("in/a.jpg", ImageSize(*numbers.shape), objects),
            AnnotatedImage("b.png", ImageSize(2, 3)),
        ]
        found, notes = there_and_back(photos, "voc", WriteOptions())
        same(found, photos)
        assert len(notes) == 1
        assert "'b.png'" in notes[0]

    @FEW
    @given(MAPS, st.data())
    def test_png(self, numbers: np.ndarray, data: st.DataObject) -> None:
        maybe = TEXT | st.none()
        objects = tuple(
            ObjectAnnotation.from_mask(mask, data.draw(maybe), data.draw(SCORES), data.draw(maybe))
            for mask in apart(numbers)
        )
        photos = [
            AnnotatedImage("in/a.jpg", ImageSize(*numbers.shape), objects),
            AnnotatedImage("b.png", ImageSize(2, 3)),
        ]
        found, notes = there_and_back(photos, "png", WriteOptions())
        same(found, photos)
        assert not notes

    def test_png_of_more_objects_than_eight_bits_count(self) -> None:
        numbers = np.arange(1, 401).reshape(20, 20)
        photos = [
            annotated_image([ObjectAnnotation.from_mask(numbers == number, str(number)) for number in range(1, 401)])
        ]
        found, notes = there_and_back(photos, "png", WriteOptions())
        same(found, photos)
        assert not notes

    @FEW
    @given(MASKS)
    def test_yolo_of_one_piece_without_holes(self, given_: list[np.ndarray]) -> None:
        objects = [ObjectAnnotation.from_mask(solid(mask), "a") for mask in given_ if mask.any()] or [
            ObjectAnnotation.from_mask(np.ones((1, 1), bool), "a")
        ]
        photos = [annotated_image(objects)]
        found, notes = there_and_back(photos, "yolo", WriteOptions())
        same(found, photos)
        assert not notes


def solid(mask: np.ndarray) -> np.ndarray:
    """One piece of a mask, its holes filled."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, 0, 1, cv2.FILLED) > 0


class TestPolygons:
    @pytest.mark.parametrize("format_name", ["yolo", "labelme"])
    @FEW
    @given(given_=MASKS)
    def test_notes_say_how_many_pixels_differ(self, format_name: str, given_: list[np.ndarray]) -> None:
        some = [mask for mask in given_ if mask.any()] or [np.ones((2, 3), bool)]
        photos = [annotated_image([ObjectAnnotation.from_mask(mask, "a") for mask in some])]
        (found,), notes = there_and_back(photos, format_name, WriteOptions(polygons=True))
        differ = [int((each.mask ^ mask).sum()) for each, mask in zip(found.objects, some, strict=True)]
        said = [int(re.search(r"in (\d+) of", note)[1]) for note in notes]  # type: ignore[index]
        assert said == [count for count in differ if count]

    @pytest.mark.parametrize(("format_name", "bound"), [("yolo", 0.98), ("labelme", 0.99)])
    def test_a_ring_and_a_disc_in_two_pieces(self, format_name: str, bound: float) -> None:
        ring = disc(100, 160, 50, 50, 40) & ~disc(100, 160, 50, 50, 15)
        mask = ring | disc(100, 160, 120, 60, 20)
        (found,), _ = there_and_back(
            [annotated_image([ObjectAnnotation.from_mask(mask, "a")])], format_name, WriteOptions(polygons=True)
        )
        assert len(found.objects) == 1
        assert bound < iou(found.objects[0].mask, mask)

    @pytest.mark.skipif("SAYWHERE_DATA" not in os.environ, reason="needs the data sets")
    def test_real_objects_keep_the_iou_that_is_documented(self, tmp_path: Path) -> None:
        source = Path(os.environ["SAYWHERE_DATA"]) / "photos-7k" / "val.json"
        if not source.exists():
            pytest.skip("photos-7k is not here")
        photos = [each() for each in formats.read(source).images[::10]]
        for format_name, bound, mean in (("yolo", 0.83, 0.99), ("labelme", 0.998, 0.9999)):
            formats.write(photos, tmp_path / format_name, format_name, WriteOptions(polygons=True))
            found = {each.file_name: each for each in (each() for each in formats.read(tmp_path / format_name).images)}
            ious = [
                iou(a.mask, b.mask)
                for image in photos
                for a, b in zip(image.objects, found[image.file_name].objects, strict=True)
            ]
            assert min(ious) > bound
            assert np.mean(ious) > mean


class TestWhatIsLostIsSaid:
    whole, part = disc(40, 60, 30, 20, 15), disc(40, 60, 30, 20, 5)

    def notes(
        self,
        objects: list[ObjectAnnotation],
        format_name: str,
        file: str = "a.jpg",
        options: WriteOptions | None = None,
    ) -> list[str]:
        return there_and_back([annotated_image(objects, file)], format_name, options or WriteOptions())[1]

    @pytest.mark.parametrize("format_name", ["voc", "png"])
    def test_overlaps_the_smaller_stays_whole(self, format_name: str) -> None:
        photos = [
            annotated_image(
                [ObjectAnnotation.from_mask(self.part, "wheel"), ObjectAnnotation.from_mask(self.whole, "car")]
            )
        ]
        (found,), notes = there_and_back(photos, format_name, WriteOptions())
        assert np.array_equal(found.objects[0].mask, self.part)
        assert np.array_equal(found.objects[1].mask, self.whole & ~self.part)
        assert notes == [
            f"photograph 'a.jpg', object 'car': {self.part.sum()} of its {self.whole.sum()} pixels are under smaller "
            "objects; lost"
        ]

    @pytest.mark.parametrize("format_name", ["voc", "png"])
    def test_an_object_under_another(self, format_name: str) -> None:
        notes = self.notes(
            [ObjectAnnotation.from_mask(self.part, "a"), ObjectAnnotation.from_mask(self.part, "b")], format_name
        )
        assert notes == [
            f"photograph 'a.jpg', object 'a': all of its {self.part.sum()} pixels are under smaller objects; lost"
        ]

    @pytest.mark.parametrize("format_name", ["voc", "yolo", "labelme", "png"])
    def test_empty_objects(self, format_name: str) -> None:
        (note,) = self.notes(
            [ObjectAnnotation.from_mask(self.part, "a"), ObjectAnnotation.from_mask(np.zeros((40, 60), bool), "b")],
            format_name,
        )
        assert "empty" in note

    @pytest.mark.parametrize("format_name", ["coco", "voc", "yolo", "labelme"])
    def test_objects_without_a_label(self, format_name: str) -> None:
        (found,), (note,) = there_and_back(
            [annotated_image([ObjectAnnotation.from_mask(self.part)])], format_name, WriteOptions()
        )
        assert found.objects[0].label == "object"
        assert "1 objects without a label" in note

    @pytest.mark.parametrize("format_name", ["voc", "yolo"])
    def test_scores_and_authors(self, format_name: str) -> None:
        (note,) = self.notes([ObjectAnnotation.from_mask(self.part, "a", 0.5, "someone")], format_name)
        assert "score or author of 1" in note

    def test_more_objects_than_voc_has_room_for(self) -> None:
        numbers = np.arange(1, 301).reshape(15, 20)
        photos = [annotated_image([ObjectAnnotation.from_mask(numbers == number, "a") for number in range(1, 301)])]
        (found,), (note,) = there_and_back(photos, "voc", WriteOptions())
        assert len(found.objects) == 254
        assert "46 of 300 objects" in note

    def test_more_labels_than_voc_has_room_for(self, tmp_path: Path) -> None:
        photos = [
            annotated_image([ObjectAnnotation.from_mask(self.part, f"label {i}")], f"{i}.jpg") for i in range(260)
        ]
        notes = formats.write(photos, tmp_path / "out", "voc", WriteOptions(copy=False)).notes
        assert sum(len(each().objects) for each in formats.read(tmp_path / "out").images) == 254
        assert len(notes) == 6
        assert "label 259" in notes[-1]

    def test_a_label_on_two_lines(self) -> None:
        (note,) = self.notes([ObjectAnnotation.from_mask(self.part, "a\nb\x01")], "voc")
        assert "'a\\nb\\x01' is written as 'a b'" in note

    @pytest.mark.parametrize("format_name", ["voc", "yolo", "labelme", "png"])
    def test_names_that_differ_only_in_their_ending_or_case(self, format_name: str) -> None:
        each, other = ObjectAnnotation.from_mask(self.part, "a"), ObjectAnnotation.from_mask(self.whole, "a")
        photos = [
            annotated_image([each], "x/1.jpg"),
            annotated_image([other], "x/1.png"),
            annotated_image([each], "X/1.bmp"),
        ]
        found, notes = there_and_back(photos, format_name, WriteOptions())
        assert sorted(p.objects[0].region.area for p in found) == sorted([each.region.area] * 2 + [other.region.area])
        assert sum("without its ending" in note for note in notes) == 2

    def test_photographs_that_exif_data_turn(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (40, 60)).save(tmp_path / "a.jpg", exif=exif)
        image = AnnotatedImage(
            "a.jpg", ImageSize(40, 60), (ObjectAnnotation.from_mask(self.part, "a"),), tmp_path / "a.jpg"
        )
        (note,) = formats.write([image], tmp_path / "out.json", "coco").notes
        assert "turned by their EXIF data" in note


def test_a_label_that_looks_like_a_comment_or_a_table() -> None:
    photos = [annotated_image([ObjectAnnotation.from_mask(np.ones((2, 2), bool), "# a: b:1,2,3::")])]
    same(there_and_back(photos, "voc", WriteOptions())[0], photos)


class TestNumbering:
    def test_voc_classes_keep_their_numbers_and_others_follow_the_list(self, tmp_path: Path) -> None:
        mask = np.ones((2, 2), bool)
        for label, known, number in (("person", ["cat", "person"], 15), ("b", ["a", "b"], 2), ("z", ["a"], 2)):
            image = annotated_image([ObjectAnnotation.from_mask(mask, label)])
            formats.write([image], tmp_path / label, "voc", WriteOptions(labels=known, copy=False))
            assert np.asarray(Image.open(tmp_path / label / "SegmentationClass" / "a.png")).max() == number

    def test_splits_converted_apart_number_classes_alike(self, tmp_path: Path) -> None:
        for split, category in (("train", 1), ("val", 2)):
            content = {
                "images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": category, "segmentation": [[0, 0, 3, 0, 3, 3]]}
                ],
                "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
            }
            (tmp_path / f"{split}.json").write_text(json.dumps(content))
            formats.convert(tmp_path / f"{split}.json", tmp_path / split, "yolo", options=WriteOptions(copy=False))
            assert (tmp_path / split / "labels" / "a.txt").read_text().startswith(f"{category - 1} ")


class TestWholeOrNothing:
    def photos(self, count: int) -> Iterator[AnnotatedImage]:
        for i in range(count):
            yield annotated_image([ObjectAnnotation.from_mask(np.ones((2, 2), bool), "a")], f"{i}.jpg")
        raise SaywhereError("no more")

    @pytest.mark.parametrize("format_name", formats.FORMATS)
    def test_nothing_is_left_when_it_breaks_off(self, format_name: str, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="no more"):
            formats.write(self.photos(3), tmp_path / "out.json", format_name, WriteOptions(copy=False))
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("format_name", formats.FORMATS)
    def test_what_is_there_stays(self, format_name: str, tmp_path: Path) -> None:
        kept = tmp_path / "out.json"
        kept.write_text("kept")
        with pytest.raises(SaywhereError, match="is there already"):
            formats.write([], kept, format_name)
        assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]

    def test_one_photograph_in_memory_at_a_time(self, coco: Path) -> None:
        alive: list[int] = []

        def count(done: int, total: int) -> None:
            alive.append(sum(type(each) is AnnotatedImage for each in gc.get_objects()))
            assert total == 6

        formats.convert(coco, coco.with_name("out"), "voc", progress=count)
        assert len(alive) == 6
        assert max(alive) <= 3
