"""What single formats do: polygons, overlaps, numbers of classes. What all do is in test_every_format.py."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from annotations import MASKS, annotated_image, assert_same, round_trip
from hypothesis import given, settings
from PIL import Image

from conftest import disc
from saywhere.core.metrics import iou
from saywhere.data import formats
from saywhere.data.formats import ObjectAnnotation, WriteOptions

FEW = settings(max_examples=40)


class TestBitForBit:
    @FEW
    @given(MASKS)
    def test_coco_polygons_with_holes_and_pieces(self, given_: list[np.ndarray]) -> None:
        photos = [annotated_image([ObjectAnnotation.from_mask(mask, "a") for mask in given_])]
        found, notes = round_trip(photos, "coco", WriteOptions(polygons=True))
        assert_same(found, photos)
        assert len(notes) == sum(not mask.any() for mask in given_)

    def test_png_of_more_objects_than_eight_bits_count(self) -> None:
        numbers = np.arange(1, 401).reshape(20, 20)
        photos = [
            annotated_image([ObjectAnnotation.from_mask(numbers == number, str(number)) for number in range(1, 401)])
        ]
        found, notes = round_trip(photos, "png", WriteOptions())
        assert_same(found, photos)
        assert not notes


class TestPolygons:
    @pytest.mark.parametrize("format_name", ["yolo", "labelme"])
    @FEW
    @given(given_=MASKS)
    def test_notes_say_how_many_pixels_differ(self, format_name: str, given_: list[np.ndarray]) -> None:
        some = [mask for mask in given_ if mask.any()] or [np.ones((2, 3), bool)]
        photos = [annotated_image([ObjectAnnotation.from_mask(mask, "a") for mask in some])]
        (found,), notes = round_trip(photos, format_name, WriteOptions(polygons=True))
        differ = [int((each.mask ^ mask).sum()) for each, mask in zip(found.objects, some, strict=True)]
        said = [int(re.search(r"in (\d+) of", note)[1]) for note in notes]  # type: ignore[index]
        assert said == [count for count in differ if count]

    @pytest.mark.parametrize(("format_name", "bound"), [("yolo", 0.98), ("labelme", 0.99)])
    def test_a_ring_and_a_disc_in_two_pieces(self, format_name: str, bound: float) -> None:
        ring = disc(100, 160, 50, 50, 40) & ~disc(100, 160, 50, 50, 15)
        mask = ring | disc(100, 160, 120, 60, 20)
        (found,), _ = round_trip(
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
        return round_trip([annotated_image(objects, file)], format_name, options or WriteOptions())[1]

    @pytest.mark.parametrize("format_name", ["voc", "png"])
    def test_overlaps_the_smaller_stays_whole(self, format_name: str) -> None:
        photos = [
            annotated_image(
                [ObjectAnnotation.from_mask(self.part, "wheel"), ObjectAnnotation.from_mask(self.whole, "car")]
            )
        ]
        (found,), notes = round_trip(photos, format_name, WriteOptions())
        assert np.array_equal(found.objects[0].mask, self.part)
        assert np.array_equal(found.objects[1].mask, self.whole & ~self.part)
        assert notes == [
            f"photograph 'a.jpg', object 'car': {self.part.sum()} of its {self.whole.sum()} pixels are under other "
            "objects; lost"
        ]

    @pytest.mark.parametrize("format_name", ["voc", "png"])
    def test_overlaps_the_one_in_front_stays_whole(self, format_name: str) -> None:
        front = replace(ObjectAnnotation.from_mask(self.whole, "car"), z_order=1)
        photos = [annotated_image([ObjectAnnotation.from_mask(self.part, "wheel"), front])]
        (found,), notes = round_trip(photos, format_name, WriteOptions())
        assert [each.label for each in found.objects] == ["car"]
        assert np.array_equal(found.objects[0].mask, self.whole)
        assert len(notes) == 1

    @pytest.mark.parametrize("format_name", ["voc", "png"])
    def test_an_object_under_another(self, format_name: str) -> None:
        notes = self.notes(
            [ObjectAnnotation.from_mask(self.part, "a"), ObjectAnnotation.from_mask(self.part, "b")], format_name
        )
        assert notes == [
            f"photograph 'a.jpg', object 'a': all of its {self.part.sum()} pixels are under other objects; lost"
        ]

    def test_more_objects_than_voc_has_room_for(self) -> None:
        numbers = np.arange(1, 301).reshape(15, 20)
        photos = [annotated_image([ObjectAnnotation.from_mask(numbers == number, "a") for number in range(1, 301)])]
        (found,), (note,) = round_trip(photos, "voc", WriteOptions())
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

    def test_images_that_are_no_jpeg(self) -> None:
        (note,) = self.notes([ObjectAnnotation.from_mask(self.part, "a")], "voc", "b.png")
        assert note == "1 photographs keep their format, the first is 'b.png'; some readers of VOC expect .jpg"

    def test_a_label_on_two_lines(self) -> None:
        (note,) = self.notes([ObjectAnnotation.from_mask(self.part, "a\nb\x01")], "voc")
        assert "'a\\nb\\x01' is written as 'a b'" in note


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
