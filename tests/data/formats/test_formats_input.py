"""Annotation files that are damaged, at odds with their photographs, or made to lead out of their folder."""

from __future__ import annotations

import base64
import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from conftest import disc
from saywhere import SaywhereError
from saywhere.core.geometry import ImageSize
from saywhere.data import formats
from saywhere.data.files import safe_name
from saywhere.data.formats import AnnotatedImage, FaultsError, ObjectAnnotation, WriteOptions

MASK = disc(40, 60, 30, 20, 10)
OUTSIDE = ["../a.png", "/etc/a.png", "a/../../b.png", "C:\\a.png", "..\\a.png", "\\\\host\\a.png", "C:a.png", ""]


@pytest.fixture
def sets(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a small set in some format: two photographs with an object each."""

    def make(format_name: str) -> Path:
        photos = []
        for name in ("a.png", "b.png"):
            path = tmp_path / "photos" / name
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (60, 40)).save(path)
            photos.append(AnnotatedImage(name, ImageSize(40, 60), (ObjectAnnotation.from_mask(MASK, "cat"),), path))
        dest = tmp_path / "set" / ("set.json" if format_name == "coco" else format_name)
        formats.write(photos, dest, format_name)
        return dest

    return make


def faults(source: Path, *words: str, images: Path | None = None, options: WriteOptions | None = None) -> list[str]:
    """The faults of a set, in the first of which are these words; nothing is written."""
    out = source.parent / "out" / "out.json"
    with pytest.raises(FaultsError) as caught:
        formats.convert(source, out, "coco", images=images, options=options)
    assert not out.parent.exists() or not list(out.parent.iterdir())
    assert all("\n" not in fault for fault in caught.value.faults)
    for word in words:
        assert word in caught.value.faults[0]
    return caught.value.faults


def refused(source: Path, *words: str, format_name: str | None = None) -> None:
    with pytest.raises(SaywhereError) as caught:
        formats.read(source, format_name)
    for word in words:
        assert word in str(caught.value)


def change(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


class TestNames:
    @pytest.mark.parametrize("name", [*OUTSIDE, None, 5, "a\nb.png", "a\0.png", "a" * 300, "\ud800.png"])
    def test_refused(self, name: object) -> None:
        with pytest.raises(SaywhereError, match="file name"):
            safe_name(name)

    @given(st.text())
    def test_what_passes_stays_within(self, name: str) -> None:
        try:
            safe = safe_name(name)
        except SaywhereError:
            return
        inside = Path("/folder/x").joinpath(safe)
        assert Path(os.path.normpath(inside)).is_relative_to("/folder/x")

    def test_backslashes_are_folders(self) -> None:
        assert safe_name("in\\a.png") == safe_name("./in/a.png") == "in/a.png"


class TestCoco:
    def test_half_written(self, sets: Callable[[str], Path]) -> None:
        path = sets("coco")
        path.write_bytes(path.read_bytes()[:300])
        refused(path, str(path), "COCO JSON")

    @pytest.mark.parametrize("name", OUTSIDE)
    def test_names_that_lead_out(self, sets: Callable[[str], Path], name: str) -> None:
        path = sets("coco")
        change(path, lambda data: data["images"][0].update(file_name=name))
        assert len(faults(path, "image 1", "file name")) == 1

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("category_id", 9, "no such category"),
            ("category_id", [], "category_id []: no such category"),
            ("segmentation", {"size": [20, 20], "counts": "x"}, "size"),
            ("segmentation", {"size": [40, 60], "counts": "0"}, "cover 0 pixels"),
            ("segmentation", {"size": [40, 60], "counts": "\x01"}, "damaged"),
            ("segmentation", {"size": [40, 60], "counts": [5, 7]}, "cover 12 pixels"),
            ("segmentation", {"size": [40, 60], "counts": [5, -7]}, "none negative"),
            ("segmentation", [[1, 2, 3]], "three points"),
            ("segmentation", [[0, 0, 1e12, 0, 5, 5]], "three points"),
            ("segmentation", [[0, 0, float("nan"), 0, 5, 5]], "three points"),
            ("score", "high", "score"),
            ("author", 7, "label 7"),
        ],
    )
    def test_bad_annotations(self, sets: Callable[[str], Path], field: str, value: object, words: str) -> None:
        path = sets("coco")
        change(path, lambda data: data["annotations"][0].update({field: value}))
        assert len(faults(path, "annotation 1", words)) == 1

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda d: d["annotations"][0].update(image_id=9), "image_id 9"),
            (lambda d: d["images"][0].update(id=2), "no such image"),
            (lambda d: d["images"].append(d["images"][0]), "same id"),
            (lambda d: d.update(images=5), "images"),
            (lambda d: d["categories"][0].pop("name"), "name"),
            (lambda d: d["categories"][0].update(name=["cat"]), "label"),
        ],
    )
    def test_files_that_cannot_be_used(
        self, sets: Callable[[str], Path], edit: Callable[[dict[str, Any]], None], words: str
    ) -> None:
        path = sets("coco")
        change(path, edit)
        refused(path, words)

    def test_sizes_and_twice_the_same(self, sets: Callable[[str], Path], tmp_path: Path) -> None:
        path = sets("coco")
        change(path, lambda data: data["images"][1].update(width=10**9))
        faults(path, "image 2", "width 1000000000")
        change(path, lambda data: data["images"][1].update(width=60, file_name="a.png"))
        faults(path, "'a.png'", "twice")
        Image.new("RGB", (50, 40)).save(tmp_path / "photos" / "a.png")
        faults(path, "50x40", "60x40", images=tmp_path / "photos")

    def test_every_photograph_is_looked_at(self, sets: Callable[[str], Path], tmp_path: Path) -> None:
        path = sets("coco")
        with pytest.raises(FaultsError) as caught:
            formats.convert(path, tmp_path / "out", "voc")
        assert [fault.split("'")[1] for fault in caught.value.faults] == ["a.png", "b.png"]
        assert "--images" in caught.value.faults[0]
        assert formats.convert(path, tmp_path / "out", "voc", images=tmp_path / "photos").images == 2
        assert (tmp_path / "out" / "JPEGImages" / "a.png").exists()

    @pytest.mark.parametrize("segmentation", [None, []])
    def test_neither_a_mask_nor_a_box(self, sets: Callable[[str], Path], segmentation: object, tmp_path: Path) -> None:
        path = sets("coco")
        change(path, lambda data: data["annotations"][0].update(segmentation=segmentation, bbox=[0, 0, 0, 0], area=9))
        if segmentation is None:
            assert len(faults(path, "annotation 1", "neither")) == 1
        else:
            formats.convert(path, tmp_path / "out.json", "coco")
            assert formats.read(tmp_path / "out.json").images[0]().objects[0].region.area == 0
            assert json.loads((tmp_path / "out.json").read_text())["annotations"][0]["area"] == 0

    def test_crowds_and_unknown_keys_are_said(self, sets: Callable[[str], Path], tmp_path: Path) -> None:
        path = sets("coco")
        change(path, lambda data: data["annotations"][0].update(iscrowd=1))
        change(path, lambda data: data["annotations"][1].update(keypoints=[1]))
        notes = formats.convert(path, tmp_path / "out", "yolo", images=tmp_path / "photos").notes
        assert "1 crowd regions left out; --keep-crowd" in notes[0]
        assert "keypoints of 1 objects left out" in notes[1]


class TestLabelMe:
    def shape(self, path: Path, **fields: object) -> None:
        change(path, lambda data: data["shapes"][0].update(fields))

    def test_half_written_names_the_file_and_goes_on(self, sets: Callable[[str], Path]) -> None:
        folder = sets("labelme")
        for name in ("a.json", "b.json"):
            (folder / name).write_bytes((folder / name).read_bytes()[:50])
        assert len(faults(folder, "a.json", "cannot be read as JSON")) == 2

    @pytest.mark.parametrize("name", OUTSIDE)
    def test_names_that_lead_out(self, sets: Callable[[str], Path], name: str, tmp_path: Path) -> None:
        folder = sets("labelme")
        change(folder / "a.json", lambda data: data.update(imagePath=name))
        faults(folder, "a.json", "file name")
        if name.endswith("\\a.png") and "host" not in name:
            # Its last name counts where the photographs are said to be.
            source = formats.read(folder, images=tmp_path / "photos")
            assert source.images[0]().path == tmp_path / "photos" / "a.png"

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"mask": "###"}, "base64"),
            ({"mask": base64.b64encode(b"no image").decode()}, "mask"),
            ({"points": [[0, 0], [5, 5]]}, "21x21 pixels; its points say 6x6"),
            ({"points": [[50, 30], [90, 50]]}, "not within 60x40"),
            ({"points": [[0, 0]]}, "expected 2"),
            ({"points": "none"}, "could not convert"),
            ({"shape_type": "polygon", "points": [[0, 0], [1, 1]]}, "three or more"),
            ({"shape_type": "polygon", "points": [[0, 0], [1e30, 1], [5, 5]]}, "in pixels"),
            ({"label": 7}, "label 7"),
        ],
    )
    def test_bad_shapes(self, sets: Callable[[str], Path], fields: dict[str, object], words: str) -> None:
        folder = sets("labelme")
        self.shape(folder / "a.json", **fields)
        assert len(faults(folder, "a.json", words)) == 1

    def test_other_json(self, sets: Callable[[str], Path]) -> None:
        folder = sets("labelme")
        (folder / "a.json").write_text("[1, 2]")
        (folder / "b.json").write_text('{"shapes": [3], "imagePath": "b.png", "imageWidth": 60, "imageHeight": 40}')
        assert ["not LabelMe JSON" in faults(folder)[0], "shape 1" in faults(folder)[1]] == [True, True]

    def test_a_mask_too_large_for_memory_is_not_unpacked(self, sets: Callable[[str], Path]) -> None:
        header = b"IHDR" + struct.pack(">IIBBBBB", 60000, 60000, 1, 0, 0, 0, 0)
        chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        start = base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT").decode()
        folder = sets("labelme")
        self.shape(folder / "a.json", mask=start)
        # Whether Pillow or we refuse it first depends on a limit that other packages lift.
        (fault,) = faults(folder, "a.json", "mask")
        assert "bomb" in fault or "60000x60000" in fault

    def test_shapes_as_people_draw_them(self, tmp_path: Path) -> None:
        shapes = [
            {"label": "a", "points": [[10, 10], [2, 5]], "shape_type": "rectangle"},
            {"label": "b", "points": [[30, 20], [30, 26]], "shape_type": "circle"},
            {"label": "c", "points": [[40, 0], [50, 0], [50, 10]], "group_id": 1},
            {"label": "c", "points": [[40, 30], [50, 30], [50, 39]], "group_id": 1, "shape_type": "polygon"},
            {"label": "d", "points": [[1, 1]], "shape_type": "point"},
        ]
        (tmp_path / "a.json").write_text(json.dumps({"shapes": shapes, "imagePath": "a.png", "imageData": None}))
        Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
        image = formats.read(tmp_path).images[0]()
        assert [each.label for each in image.objects] == ["a", "b", "c"]
        assert image.objects[0].region.box == (2, 5, 9, 6)
        assert image.objects[1].region.box == (24, 14, 13, 13)
        assert image.objects[2].region.box == (40, 0, 11, 40)
        assert image.notes == ("photograph 'a.png': 1 shapes 'point' have no area; left out",)


class TestYolo:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("7 0 0 1 0 1 1", "class 7"),
            ("-1 0 0 1 0 1 1", "class -1"),
            ("0 0 0 1 0 1", "three points"),
            ("0 0 0 1 0 1 x", "three points"),
            ("0 0 0 1 0 1 nan", "three points"),
            ("0 0 0 60 0 60 40", "0 to 1"),
        ],
    )
    def test_bad_lines(self, sets: Callable[[str], Path], line: str, words: str) -> None:
        folder = sets("yolo")
        (folder / "labels" / "a.txt").write_text(line)
        faults(folder, "a.txt", "line 1", words)

    def test_boxes_are_no_objects(self, sets: Callable[[str], Path]) -> None:
        folder = sets("yolo")
        (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n")
        image = formats.read(folder).images[0]()
        assert not image.objects
        assert image.boxes[0].box == pytest.approx((27, 18, 6, 4))

    def test_photographs_are_needed(self, sets: Callable[[str], Path], tmp_path: Path) -> None:
        folder = sets("yolo")
        (folder / "images" / "a.png").unlink()
        refused(folder, "photographs are needed", "a.txt")
        assert len(formats.read(folder, images=tmp_path / "photos").images) == 2

    def test_data_yaml(self, sets: Callable[[str], Path]) -> None:
        folder = sets("yolo")
        for content in ("names: [", "path: /etc", "names: 5", "names: !!python/object/apply:os.getcwd []"):
            (folder / "data.yaml").write_text(content)
            refused(folder, "data.yaml", "names")
        (folder / "data.yaml").write_text("path: /etc\ntrain: ../../..\nnames: [dog]\n")
        assert formats.read(folder).images[0]().objects[0].label == "dog"


class TestMaps:
    def test_voc_layout_and_classes(self, sets: Callable[[str], Path], tmp_path: Path) -> None:
        folder = sets("voc")
        Image.fromarray(np.full((40, 60), 99, np.uint8)).save(folder / "SegmentationClass" / "a.png")
        (folder / "SegmentationClass" / "b.png").write_bytes(b"half")
        told = faults(folder, "a.png", "class 99")
        assert "b.png" in told[1]
        (folder / "ImageSets" / "Segmentation" / "train.txt").write_text("../../a\n")
        assert "file name" in faults(folder)[0]
        (folder / "labelmap.txt").write_text("cat\n")
        refused(folder, "labelmap.txt", "cat:64,0,0::")
        refused(tmp_path, "no photograph is listed", format_name="voc")

    def test_void_is_said(self, sets: Callable[[str], Path]) -> None:
        folder = sets("voc")
        path = folder / "SegmentationObject" / "a.png"
        values = np.asarray(Image.open(path)).copy()
        values[:2] = 255
        Image.fromarray(values).save(path)
        image = formats.read(folder).images[0]()
        assert np.array_equal(image.objects[0].mask, MASK)
        assert "void" in image.notes[0]

    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("../a.png,a.png,1,cat,,", "file name"),
            ("a.png,/a.png,1,cat,,", "file name"),
            ("a.png,a.png,2,cat,,", "[1, 2]"),
            ("a.png,a.png,one,cat,,", "whole number"),
            ("a.png,a.png,1,cat,high,", "0 to 1"),
            ("c.png,a.png,1,cat,,", "c.png"),
        ],
    )
    def test_png_table(self, sets: Callable[[str], Path], line: str, words: str) -> None:
        folder = sets("png")
        (folder / "objects.csv").write_text(f"mask,photo,number,label,score,author\n{line}\n")
        faults(folder, words)

    def test_png_table_that_is_none(self, sets: Callable[[str], Path]) -> None:
        folder = sets("png")
        for content in ("a,b\n1,2\n", "mask,photo,number,label,score,author\na.png\n"):
            (folder / "objects.csv").write_text(content)
            refused(folder, "objects.csv", "expected")

    def test_png_without_a_table_and_in_colour(self, sets: Callable[[str], Path]) -> None:
        folder = sets("png")
        (folder / "objects.csv").unlink()
        assert formats.read(folder, "png").images[0]().objects == (ObjectAnnotation.from_mask(MASK),)
        Image.new("RGB", (60, 40)).save(folder / "a.png")
        source = formats.read(folder, "png")
        with pytest.raises(SaywhereError, match="RGB image"):
            source.images[0]()


class TestPlace:
    def test_not_there_and_unknown(self, tmp_path: Path) -> None:
        refused(tmp_path / "none", "not there")
        refused(tmp_path, "--from")
        refused(tmp_path, "not known", format_name="tfrecord")
        refused(tmp_path, "folder", format_name="coco")
        (tmp_path / "a.txt").touch()
        refused(tmp_path / "a.txt", "--from")
        with pytest.raises(SaywhereError, match="json"):
            formats.write([], tmp_path / "out", "coco")


class TestCommandLine:
    def run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "saywhere.cli", "convert", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def test_notes_and_counts(self, sets: Callable[[str], Path], tmp_path: Path) -> None:
        source = sets("coco")
        (tmp_path / "labels.txt").write_text("dog\ncat\n")
        done = self.run(
            source, tmp_path / "out", "--to", "yolo", "--images", tmp_path / "photos", "--json",
            "--labels", tmp_path / "labels.txt",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {
            "dest": str(tmp_path / "out"),
            "images": 2,
            "objects": 2,
            "notes": [],
            "photos": 2,
        }
        assert (tmp_path / "out" / "labels" / "a.txt").read_text().startswith("1 ")
        done = self.run(tmp_path / "out", tmp_path / "voc", "--to", "voc")
        assert "2 photographs keep their format" in done.stdout
        assert "2 objects in 2 images" in done.stdout

    def test_faults_are_listed_and_nothing_is_written(self, sets: Callable[[str], Path], tmp_path: Path) -> None:
        source = sets("coco")
        done = self.run(source, tmp_path / "out", "--to", "voc")
        assert done.returncode == 2
        assert [line.split("'")[1] for line in done.stdout.strip().splitlines()] == ["a.png", "b.png"]
        assert done.stderr.strip() == f"saywhere: source '{source}': 2 faults, listed above; nothing was written"
        assert not (tmp_path / "out").exists()
