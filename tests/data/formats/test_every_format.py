"""What every format of annotations must do. A format is tested by being in FORMATS and in CAPABILITIES."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotations import (
    CAPABILITIES,
    Capabilities,
    annotated_image,
    assert_same,
    objects_for,
    round_trip,
    target,
    with_files,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from conftest import disc
from saywhere import SaywhereError
from saywhere.core.geometry import ImageSize
from saywhere.data import formats
from saywhere.data.formats import AnnotatedImage, ObjectAnnotation, WriteOptions

SIZE = ImageSize(40, 60)
WHOLE, PART = disc(*SIZE, 30, 20, 15), disc(*SIZE, 30, 20, 5)
RING = WHOLE & ~PART
CAT = ObjectAnnotation.from_mask(WHOLE, "cat")


def test_every_format_says_what_it_holds() -> None:
    assert CAPABILITIES.keys() == formats.FORMATS.keys()


def attempt(call: Callable[[], Any]) -> tuple[Any, str | None]:
    """What a call returns, or the text of its SaywhereError."""
    try:
        return call(), None
    except SaywhereError as error:
        return None, str(error)


@pytest.fixture(params=formats.FORMATS)
def format_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def holds(format_name: str) -> Capabilities:
    return CAPABILITIES[format_name]


@pytest.fixture
def written(format_name: str, tmp_path: Path) -> Path:
    """Two images with an object each; the image files are in ``tmp_path / "given"``."""
    images = with_files([annotated_image([CAT], "in/a.png"), annotated_image([CAT], "b.png")], tmp_path / "given")
    formats.write(images, target(tmp_path, format_name), format_name)
    return target(tmp_path, format_name)


class TestRoundTrip:
    @pytest.mark.parametrize("name", formats.FORMATS)
    @settings(max_examples=40)
    @given(data=st.data())
    def test_what_it_holds_comes_back_bit_for_bit(self, name: str, data: st.DataObject) -> None:
        images = [
            annotated_image(data.draw(objects_for(CAPABILITIES[name])), "in/a.jpg"),
            AnnotatedImage("no/objects.jpg", ImageSize(2, 3)),
        ]
        found, notes = round_trip(images, name)
        assert_same(sorted(found, key=lambda image: image.file_name), images)
        assert not notes

    def test_one_pixel_in_each_corner(self, format_name: str) -> None:
        objects = []
        for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
            mask = np.zeros(SIZE, bool)
            mask[row, column] = True
            objects.append(ObjectAnnotation.from_mask(mask, f"{row} {column}"))
        images = [annotated_image(objects)]
        found, notes = round_trip(images, format_name)
        assert_same(found, images)
        assert not notes

    def test_an_object_of_the_whole_image(self, format_name: str) -> None:
        images = [annotated_image([ObjectAnnotation.from_mask(np.ones((1, 1), bool), "all")])]
        assert_same(round_trip(images, format_name)[0], images)

    @pytest.mark.parametrize("name", ["ünï/漢字 ß.jpg", 'a b/c\'d "e".jpg', "🦋.jpg", "a.b.c.jpg", "#1 %20&.jpg"])
    def test_names_in_any_script(self, format_name: str, name: str) -> None:
        images = [annotated_image([ObjectAnnotation.from_mask(WHOLE, "naïve 漢字 🦋")], name)]
        found, notes = round_trip(images, format_name)
        assert_same(found, images)
        assert not notes

    @pytest.mark.parametrize("label", ["a\x85b", "a\u2028b", "\ufeffa", "a\tb", "\x85"])
    def test_line_breaks_of_every_kind_in_labels(self, format_name: str, label: str) -> None:
        found, notes = round_trip([annotated_image([replace(CAT, label=label)])], format_name)
        assert found[0].objects[0].label == label or any(repr(label) in note for note in notes)

    def test_labels_that_look_like_something_else(self, format_name: str) -> None:
        labels = ["# a", "b:1,2,3::", "null", "1", "true", "- c", "<d>&amp;", "'e'", '"f",g']
        numbers = np.zeros((9, 20), int)
        numbers[np.arange(9), np.arange(9)] = np.arange(1, 10)
        objects = [ObjectAnnotation.from_mask(numbers == i, label) for i, label in enumerate(labels, 1)]
        assert_same(round_trip([annotated_image(objects)], format_name)[0], [annotated_image(objects)])


class TestLosses:
    """What a format cannot hold is noted."""

    def check(self, format_name: str, held: bool, objects: list[ObjectAnnotation], words: str) -> None:
        images = [annotated_image(objects)]
        found, notes = round_trip(images, format_name)
        if held:
            assert_same(found, images)
            assert not notes
        else:
            assert found[0].objects != tuple(objects)
            assert any(words in note and "a.jpg" in note for note in notes), notes

    def test_overlaps(self, format_name: str, holds: Capabilities) -> None:
        self.check(format_name, holds.overlaps, [replace(CAT, region=CAT.region), CAT], "under other objects")

    def test_empty_objects(self, format_name: str, holds: Capabilities) -> None:
        nothing = ObjectAnnotation.from_mask(np.zeros(SIZE, bool), "b")
        self.check(format_name, holds.empty, [CAT, nothing], "empty")

    def test_objects_without_a_label(self, format_name: str, holds: Capabilities) -> None:
        self.check(format_name, holds.unlabelled, [replace(CAT, label=None)], "1 objects without a label")

    def test_scores_and_authors(self, format_name: str, holds: Capabilities) -> None:
        self.check(format_name, holds.scores, [replace(CAT, score=0.5, author="someone")], "score or author of 1")

    def test_several_pieces(self, format_name: str, holds: Capabilities) -> None:
        two = RING | disc(*SIZE, 52, 32, 5)
        self.check(format_name, holds.holes, [ObjectAnnotation.from_mask(two, "a")], "differs from its mask")

    def test_labels_of_any_text(self, format_name: str) -> None:
        label = "a\nb\x01"
        found, notes = round_trip([annotated_image([replace(CAT, label=label)])], format_name)
        assert found[0].objects[0].label == label or any(repr(label) in note for note in notes)

    def test_names_that_differ_only_in_their_suffix_or_case(self, format_name: str, holds: Capabilities) -> None:
        other = ObjectAnnotation.from_mask(PART, "cat")
        images = [
            annotated_image([CAT], "x/1.jpg"),
            annotated_image([other], "x/1.png"),
            annotated_image([CAT], "X/1.bmp"),
        ]
        found, notes = round_trip(images, format_name)
        areas = sorted(image.objects[0].region.area for image in found)
        assert areas == sorted([CAT.region.area] * 2 + [other.region.area])
        assert sum("without its ending" in note for note in notes) == (0 if holds.suffixes else 2)

    def test_images_that_exif_data_turn(self, format_name: str, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.new("RGB", (40, 60)).save(tmp_path / "a.jpg", exif=exif)
        image = replace(annotated_image([CAT]), path=tmp_path / "a.jpg")
        dest = target(tmp_path, format_name)
        (note,) = formats.write([image], dest, format_name).notes
        assert "turned by their EXIF data" in note
        (read_one,) = formats.read(dest, images=tmp_path if format_name in ("coco", "png") else None).images
        assert read_one().is_turned
        assert read_one().size == SIZE


class TestImageFiles:
    def test_without_the_image(self, format_name: str, tmp_path: Path) -> None:
        image, dest = annotated_image([CAT]), target(tmp_path, format_name)
        if formats.FORMATS[format_name].holds_images:
            with pytest.raises(SaywhereError, match=r"a\.jpg': not there; .*--images.*--no-copy"):
                formats.write([image], dest, format_name)
            assert not dest.exists()
        formats.write([image], dest, format_name, WriteOptions(copy=False))
        if CAPABILITIES[format_name].own_size:
            assert formats.read(dest).images[0]().path is None
        else:
            with pytest.raises(SaywhereError, match="needed"):
                formats.read(dest)

    def test_in_another_folder(self, written: Path, tmp_path: Path) -> None:
        found = [read_one() for read_one in formats.read(written, images=tmp_path / "given").images]
        paths = {image.path for image in found}
        # LabelMe writes names of any folder: only their last part counts.
        assert tmp_path / "given" / "b.png" in paths
        with pytest.raises(SaywhereError, match="no such folder"):
            formats.read(written, images=tmp_path / "none")

    def test_of_another_size(self, written: Path, tmp_path: Path, holds: Capabilities) -> None:
        Image.new("RGB", (50, 40)).save(tmp_path / "given" / "b.png")
        source = formats.read(written, images=tmp_path / "given")
        if not holds.own_size:
            assert ImageSize(40, 50) in {read_one().size for read_one in source.images}
            return
        faults = []
        for read_one in source.images:
            try:
                read_one()
            except SaywhereError as error:
                faults.append(str(error))
        (fault,) = faults
        assert "is 50x40 pixels (upright); its masks are 60x40" in fault

    def test_that_is_none(self, written: Path, tmp_path: Path) -> None:
        (tmp_path / "given" / "b.png").write_text("no image")
        source = formats.read(written, images=tmp_path / "given")
        with pytest.raises(SaywhereError, match=r"b\.png': not an image"):
            [read_one() for read_one in source.images]


class TestWholeOrNothing:
    def images(self, count: int) -> Iterator[AnnotatedImage]:
        for i in range(count):
            yield annotated_image([CAT], f"{i}.jpg")
        raise SaywhereError("no more")

    def test_nothing_is_left_when_it_breaks_off(self, format_name: str, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="no more"):
            formats.write(self.images(3), tmp_path / "out.json", format_name, WriteOptions(copy=False))
        assert not list(tmp_path.iterdir())

    def test_what_is_there_stays(self, format_name: str, tmp_path: Path) -> None:
        kept = tmp_path / "out.json"
        kept.write_text("kept")
        with pytest.raises(SaywhereError, match="is there already"):
            formats.write([], kept, format_name)
        assert [path.read_text() for path in tmp_path.iterdir()] == ["kept"]

    def test_one_image_in_memory_at_a_time(self, format_name: str, coco: Path) -> None:
        alive: list[int] = []

        def count(done: int, total: int) -> None:
            alive.append(sum(type(each) is AnnotatedImage for each in gc.get_objects()))
            assert total == 6

        formats.convert(coco, target(coco.parent / "to", format_name), format_name, progress=count)
        assert len(alive) == 6
        assert max(alive) <= 3


def test_it_is_recognised(format_name: str, written: Path) -> None:
    assert formats.recognise(written) == format_name


def test_no_image_at_all(format_name: str, tmp_path: Path) -> None:
    dest = target(tmp_path, format_name)
    assert formats.write([], dest, format_name).images == 0
    found, error = attempt(lambda: formats.read(dest))
    assert found is None or not found.images
    assert error is None or str(dest) in error


@pytest.mark.parametrize("damage", ["empty", "half", "zeros", "text", "gone"])
def test_damaged_files_give_one_clear_line(written: Path, tmp_path: Path, damage: str) -> None:
    """Whatever file of a set is damaged, it is read as well as it can be or named, and nothing else is raised."""
    files = [written] if written.is_file() else sorted(path for path in written.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        content = path.read_bytes()
        path.unlink()
        if damage != "gone":
            made = {
                "empty": b"",
                "half": content[: len(content) // 2],
                "zeros": bytes(99),
                "text": b"[1, {}, 'a'\n\xff",
            }
            path.write_bytes(made[damage])
        dest = tmp_path / f"{number}.json"
        _, error = attempt(lambda dest=dest: formats.convert(written, dest, "coco"))
        assert error is None or ("\n" not in error and not dest.exists())
        path.write_bytes(content)
