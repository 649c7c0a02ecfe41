"""Small files in the layout that each tool writes; the table in docs/formats.md names them."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import polygon_of
from saywhere.data import formats
from saywhere.data.datasets import read_coco
from saywhere.data.files import find_image, list_files
from saywhere.data.formats import AnnotatedImage, WriteOptions
from saywhere.data.formats.labelme import read_labelme
from saywhere.prelabel import read_request

BOX = [10, 5, 15, 10]
SQUARE = [[10.0, 5.0], [24.0, 5.0], [24.0, 14.0], [10.0, 14.0]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_image(tmp_path / "images" / "a.png")
    return tmp_path


def save_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40)).save(path)
    return path


def save_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def coco(file_name: str = "a.png", **annotation: Any) -> dict[str, Any]:
    one = {"id": 7, "image_id": 30, "category_id": 5, "bbox": BOX, "area": 150, "iscrowd": 0,
           "segmentation": polygon_of(*BOX), **annotation}  # fmt: skip
    return {
        "licenses": [{"id": 2, "name": "CC BY", "url": ""}],
        "info": {"contributor": "someone"},
        "images": [{"id": 30, "file_name": file_name, "width": 60, "height": 40, "license": 2, "date_captured": 0}],
        "annotations": [one],
        "categories": [{"id": 5, "name": "cat", "supercategory": "animal"}],
    }


def convert(source: Path, to: str = "coco", **options: Any) -> tuple[Any, list[str]]:
    """The written COCO file (or the folder of another format), and the notes."""
    dest = source.parent / ("written.json" if to == "coco" else f"written-{to}")
    images = options.pop("images", None)
    notes = formats.convert(source, dest, to, images=images, options=WriteOptions(**options)).notes
    return json.loads(dest.read_text()) if to == "coco" else dest, notes


def only_image(source: Path, images: Path | None = None) -> AnnotatedImage:
    (read_one,) = formats.read(source, images=images).images
    return read_one()


class TestCocoOfEveryTool:
    def test_nothing_changes(self, folder: Path) -> None:
        given = coco(attributes={"occluded": True}, ignore=0)
        written, notes = convert(save_json(folder / "images" / "in.json", given), polygons=True)
        for key in ("images", "categories", "licenses", "info"):
            assert written[key] == given[key]
        same = ("id", "image_id", "category_id", "bbox", "area", "attributes", "ignore", "iscrowd")
        assert {key: written["annotations"][0][key] for key in same} == {
            key: given["annotations"][0][key] for key in same
        }
        assert not notes

    @pytest.mark.parametrize("polygons", [False, True])
    def test_area_and_box_of_the_polygon_are_kept(self, folder: Path, polygons: bool) -> None:
        """COCO's are those of the polygon, which are no whole numbers."""
        given = {"area": 139.5, "bbox": [10.25, 5.5, 14.5, 9.25]}
        written, notes = convert(save_json(folder / "in.json", coco(**given)), polygons=polygons)
        assert {key: written["annotations"][0][key] for key in given} == given
        assert not notes

    @pytest.mark.parametrize("given", [{"area": None, "bbox": [1, 2]}, {"area": -1, "bbox": [0, 0, float("nan"), 1]}])
    def test_area_and_box_are_computed_where_they_are_missing(self, folder: Path, given: dict[str, Any]) -> None:
        written, _ = convert(save_json(folder / "in.json", coco(**given)))
        assert [written["annotations"][0][key] for key in ("area", "bbox")] == [150, BOX]

    def test_what_other_formats_have_no_place_for(self, folder: Path) -> None:
        source = save_json(folder / "in.json", coco(attributes={"occluded": True}))
        _, notes = convert(source, "yolo", images=folder / "images")
        for words in ("license", "attributes of 1 objects", "ids of images", "supercategory of classes", "licenses of"):
            assert any(words in note for note in notes), (words, notes)
        _, notes = convert(source, "labelme", images=folder / "images")
        assert any("attributes" in note and "kept" in note for note in notes)

    def test_labels_that_are_given_number_the_classes(self, folder: Path) -> None:
        written, _ = convert(save_json(folder / "in.json", coco()), labels=["dog", "cat"])
        assert written["categories"] == [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]

    def test_two_categories_of_one_name(self, folder: Path) -> None:
        given = coco()
        given["categories"].append({"id": 9, "name": "cat"})
        _, notes = convert(save_json(folder / "in.json", given))
        assert "categories 5, 9 are all named 'cat'" in notes[0]

    def test_cvat_marks_every_mask_as_crowd(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        rle = {"size": [40, 60], "counts": [100, 200, 2100]}
        source = save_json(folder / "in.json", coco(segmentation=rle, iscrowd=1, attributes={"occluded": False}))
        written, notes = convert(source)
        assert (written["annotations"][0]["iscrowd"], written["annotations"][0]["area"], notes) == (1, 200, [])
        kept, notes = convert(source, "labelme", images=folder / "images", keep_crowd=True)
        assert only_image(kept).objects[0].region.area == 200
        assert "1 crowd regions are objects like any other now" in notes[0]
        found: list[str] = []
        assert read_coco(source, notes=found) == []
        assert "1 crowd regions left out; saywhere convert --keep-crowd" in found[0]

    @pytest.mark.parametrize("empty", [[], None, [[]]])
    def test_label_studio_writes_boxes_without_masks(self, folder: Path, empty: object) -> None:
        source = save_json(folder / "in.json", coco("images\\a.png", segmentation=empty, ignore=0))
        written, notes = convert(source)
        annotation = written["annotations"][0]
        assert (annotation["bbox"], annotation["area"], annotation["segmentation"], notes) == (BOX, 150, [], [])
        assert written["images"][0]["file_name"] == "images/a.png"
        yolo, _ = convert(source, "yolo")
        assert only_image(yolo).boxes[0].box == pytest.approx(tuple(BOX))
        voc, _ = convert(source, "voc")
        assert [(each.label, each.box) for each in only_image(voc).boxes] == [("cat", tuple(BOX))]
        labelme, _ = convert(source, "labelme")
        assert only_image(labelme).boxes[0].box == tuple(BOX)
        _, notes = convert(source, "png")
        assert any("1 boxes without a mask left out" in note for note in notes)

    def test_yolo_has_boxes_or_polygons(self, folder: Path) -> None:
        given = coco()
        given["annotations"].append({**given["annotations"][0], "id": 8, "segmentation": []})
        yolo, notes = convert(save_json(folder / "in.json", given), "yolo", images=folder / "images")
        image = only_image(yolo)
        assert (len(image.objects), image.boxes) == (1, ())
        assert any("not both" in note for note in notes)

    @pytest.mark.parametrize("name", ["..\\..\\media\\a.png", "/data/a.png", "C:\\x\\a.png", "s3://b/a.png", "x/a.png"])
    def test_names_of_another_machine(self, folder: Path, name: str) -> None:
        source = save_json(folder / "in.json", coco(name))
        written, notes = convert(source, images=folder / "images")
        assert written["images"][0]["file_name"] == "a.png"
        assert "taken for 'a.png'" in notes[0]
        request = read_request(source, images=folder / "images")
        assert (request.faults, request.prompts[0].path) == ([], folder / "images" / "a.png")
        assert "taken for 'a.png'" in request.notes[0]

    @pytest.mark.parametrize(
        "name",
        ["Screenshot 3.04\u202fPM.png", "\u5199\u3000\u4e00.png", "a\u00a0b.png", "\U0001f468\u200d\U0001f469.png",
         "10:20.png", "a" * 251 + ".png"],
    )  # fmt: skip
    def test_names_that_file_systems_take(self, tmp_path: Path, name: str) -> None:
        save_image(tmp_path / name)
        source = save_json(tmp_path / "in.json", coco(name))
        assert convert(source)[0]["images"][0]["file_name"] == name
        labelme, notes = convert(source, "labelme")
        assert only_image(labelme).path is not None
        assert any("too long" in note for note in notes) == (len(name) > 250)

    def test_letters_that_macos_decomposes(self, tmp_path: Path) -> None:
        save_image(tmp_path / "e\u0301.png")
        found, note = find_image("\u00e9.png", None, tmp_path)
        assert (found, note is None) == ("e\u0301.png", False)

    def test_prelabel_takes_sizes_that_are_null_and_keeps_category_ids(self, folder: Path) -> None:
        given = coco()
        given["images"][0]["width"] = None
        del given["categories"]
        given["annotations"].append({**given["annotations"][0], "id": 8, "category_id": 3})
        request = read_request(save_json(folder / "in.json", given), images=folder / "images")
        assert not request.faults
        assert [each.annotation["category_id"] for each in request.prompts[0].objects] == [5, 3]
        assert "2 categories have no names" in request.notes[0]


class TestVoc:
    @pytest.fixture
    def voc(self, folder: Path) -> Path:
        dest, _ = convert(save_json(folder / "in.json", coco()), "voc", images=folder / "images")
        return Path(dest)

    def test_colour_masks_of_cvat_and_datumaro(self, voc: Path) -> None:
        area = only_image(voc).objects[0].region.area
        for part, colour in (("SegmentationObject", (128, 0, 0)), ("SegmentationClass", (250, 50, 83))):
            mask = np.asarray(Image.open(voc / part / "a.png")) > 0
            Image.fromarray(mask[:, :, None] * np.array(colour, np.uint8)).save(voc / part / "a.png")
        # As a Windows editor saves it, and with the background in another line.
        text = "# label:color_rgb:parts:actions\r\ncat:250,50,83::\r\nbackground:0,0,0::\r\n"
        (voc / "labelmap.txt").write_bytes(b"\xef\xbb\xbf" + text.encode())
        image = only_image(voc)
        assert [(each.label, each.region.area) for each in image.objects] == [("cat", area)]
        (voc / "labelmap.txt").write_text("background:0,0,0::\ncat:1,2,3::\n")
        with pytest.raises(formats.SaywhereError, match=r"colour \(250, 50, 83\) is that of no class"):
            only_image(voc)

    def test_numbers_need_the_background_first(self, voc: Path) -> None:
        mask = np.asarray(Image.open(voc / "SegmentationClass" / "a.png")).copy()
        Image.fromarray(mask).save(voc / "SegmentationClass" / "a.png")
        assert only_image(voc).objects[0].label == "cat"
        (voc / "labelmap.txt").write_text("cat:128,0,0::\nbackground:0,0,0::\n")
        with pytest.raises(formats.SaywhereError, match="background is not first"):
            only_image(voc)

    def test_class_names_of_labelme2voc(self, voc: Path) -> None:
        (voc / "labelmap.txt").unlink()
        (voc / "class_names.txt").write_text("_background_\na\nb\nc\nd\ne\nf\ng\ncat\n")
        assert only_image(voc).objects[0].label == "cat"


class TestLabelMe:
    def content(self, **more: Any) -> dict[str, Any]:
        return {"version": "5.4.1", "imagePath": "a.png", "imageHeight": 40, "imageWidth": 60, **more}

    def shape(self, **more: Any) -> dict[str, Any]:
        return {"label": "cat", "points": SQUARE, "shape_type": "polygon", **more}

    def test_flags_descriptions_and_attributes(self, folder: Path) -> None:
        shape = self.shape(flags={"occluded": True}, description="left one", group_id=4)
        source = save_json(folder / "set" / "a.json", self.content(shapes=[shape], flags={"day": True})).parent
        written, notes = convert(source, images=folder / "images")
        annotation = written["annotations"][0]
        assert written["images"][0]["flags"] == {"day": True}
        assert (annotation["flags"], annotation["description"], annotation["group_id"]) == (
            {"occluded": True}, "left one", 4,
        )  # fmt: skip
        assert "description" in notes[0]
        _, notes = convert(source, "yolo", images=folder / "images")
        assert any("its flags left out" in note for note in notes)
        assert any("description, flags, group_id of 1 objects left out" in note for note in notes)
        back, _ = convert(source.parent / "written.json", "labelme", images=folder / "images")
        assert only_image(back).objects == only_image(source, folder / "images").objects

    def test_pictures_inside_the_json(self, folder: Path) -> None:
        picture = (folder / "images" / "a.png").read_bytes()
        shapes = [self.shape()]
        data = base64.b64encode(picture).decode()
        source = save_json(folder / "set" / "a.json", self.content(shapes=shapes, imageData=data)).parent
        yolo, _ = convert(source, "yolo")
        assert (yolo / "images" / "a.png").read_bytes() == picture
        assert any("not copied" in note for note in convert(source)[1])

    def test_turned_pictures_inside_the_json(self, tmp_path: Path) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture = io.BytesIO()
        Image.new("RGB", (40, 60)).save(picture, "JPEG", exif=exif)
        data = base64.b64encode(picture.getvalue()).decode()
        content = self.content(shapes=[self.shape()], imagePath="a.jpg", imageData=data)
        source = save_json(tmp_path / "set" / "a.json", content)
        assert any("turned by their EXIF data" in note for note in convert(source, "yolo")[1])

    @pytest.mark.parametrize("data", ["no base64", base64.b64encode(b"no image").decode()])
    def test_damaged_pictures_inside_the_json(self, tmp_path: Path, data: str) -> None:
        source = save_json(tmp_path / "a.json", self.content(shapes=[self.shape()], imageData=data))
        with pytest.raises(formats.SaywhereError, match=r"a\.json': imageData: not an image"):
            only_image(source)

    def test_x_anylabeling(self, folder: Path) -> None:
        shapes = [
            self.shape(
                shape_type="rectangle", score=None, difficult=False, attributes={"colour": "red"}, kie_linking=[]
            ),
            self.shape(shape_type="rotation", direction=0.5),
            self.shape(shape_type="line", points=SQUARE[:2]),
        ]
        content = self.content(shapes=shapes, imagePath="..\\photos\\a.png", imageData=None)
        image = only_image(save_json(folder / "set" / "a.json", content), folder / "images")
        assert [each.region.box for each in image.objects] == [(10, 5, 15, 10)] * 2
        assert image.objects[0].extra == {"attributes": {"colour": "red"}}
        assert any("1 shapes 'line'" in note for note in image.notes)

    def test_hidden_files_and_linked_folders(self, tmp_path: Path) -> None:
        save_image(tmp_path / "real" / "a.png")
        save_json(tmp_path / "real" / "a.json", self.content(shapes=[self.shape()]))
        save_json(tmp_path / "real" / ".ipynb_checkpoints" / "a.json", [])
        (tmp_path / "real" / "._a.json").write_bytes(b"\0\5\26\7")
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / "in").symlink_to(tmp_path / "real")
        (tmp_path / "real" / "again").symlink_to(tmp_path / "real")
        assert list_files(tmp_path / "set", ".json") == ["in/a.json"]
        assert only_image(tmp_path / "set").path == tmp_path / "set" / "in" / "a.png"

    def test_long_outlines_are_refused(self, tmp_path: Path) -> None:
        zigzag = [[0.0, 0.0], [9000.0, 9000.0]] * 300
        content = self.content(shapes=[self.shape(points=zigzag)], imageHeight=9000, imageWidth=9000)
        source = save_json(tmp_path / "a.json", content)
        with pytest.raises(formats.SaywhereError, match="too long to draw"):
            read_labelme(source, None).images[0]()


class TestYolo:
    @pytest.fixture
    def yolo(self, folder: Path) -> Path:
        (folder / "labels").mkdir()
        (folder / "labels" / "a.txt").write_text("0 0.2 0.2 0.5 0.2 0.5 0.6 0.9\n1.0 0.5 0.5 0.2 0.2 0.8\n")
        (folder / "data.yaml").write_text("names: [no, cat]\n")
        return folder

    def test_ultralytics_with_confidences(self, yolo: Path) -> None:
        image = only_image(yolo)
        assert [(each.label, each.score) for each in (*image.objects, *image.boxes)] == [("no", 0.9), ("cat", 0.8)]

    def test_classes_txt_of_label_studio(self, yolo: Path) -> None:
        (yolo / "data.yaml").unlink()
        (yolo / "classes.txt").write_text("dog\ncat\n")
        assert formats.recognise(yolo) == "yolo"
        assert only_image(yolo).objects[0].label == "dog"

    def test_one_name_for_two_numbers(self, yolo: Path) -> None:
        (yolo / "data.yaml").write_text("names: [cat, cat]\n")
        assert "2 classes are named 'cat'" in formats.read(yolo).notes[0]

    def test_key_points_are_no_polygons(self, yolo: Path) -> None:
        (yolo / "data.yaml").write_text("names: [a, b]\nkpt_shape: [4, 3]\n")
        with pytest.raises(formats.SaywhereError, match="key points"):
            formats.read(yolo)

    @pytest.mark.parametrize("linked", ["images", "labels"])
    def test_linked_folders(self, yolo: Path, linked: str) -> None:
        (yolo / linked).rename(yolo / "real")
        (yolo / linked).symlink_to(yolo / "real")
        assert len(only_image(yolo).objects) == 1


class TestLabelStudio:
    @pytest.fixture
    def task(self) -> dict[str, Any]:
        def region(kind: str, **value: Any) -> dict[str, Any]:
            return {"type": kind, "original_width": 60, "original_height": 40, "value": {kind: ["cat"], **value}}

        points = [[100 * x / 60, 100 * y / 40] for x, y in SQUARE]
        results = [
            region("polygonlabels", points=points),
            region("rectanglelabels", x=10.0, y=25.0, width=50.0, height=50.0, rotation=0),
            region("brushlabels", format="rle", rle=brush([0] * 1200 + [255] * 1200)),
            {"type": "choices", "value": {"choices": ["day"]}},
        ]
        return {"id": 1, "data": {"image": "/data/upload/1/0123abcd-a.png"}, "annotations": [{"result": results}]}

    def test_regions(self, folder: Path, task: dict[str, Any]) -> None:
        source = save_json(folder / "in.json", [task])
        assert formats.recognise(source) == "label-studio"
        image = only_image(source, folder / "images")
        polygon, brushed = (each.region for each in image.objects)
        assert (polygon.box, brushed.box) == ((10, 5, 14, 9), (0, 20, 60, 20))
        assert image.boxes[0].box == pytest.approx((6, 10, 30, 20))
        assert image.path == folder / "images" / "a.png"
        assert any("'choices'" in note for note in image.notes)

    @pytest.mark.parametrize(
        ("edit", "words"),
        [
            (lambda results: results[2]["value"].update(rle=[1, 2]), "ends early"),
            (lambda results: results[2]["value"].update(rle=brush([0] * 12)), "expected 9,600"),
            (lambda results: results[0]["value"].update(points=[[1, float("nan")]] * 3), "three points"),
            (lambda results: results[1].update(original_width=70), "several sizes"),
        ],
    )
    def test_damage(
        self, folder: Path, task: dict[str, Any], edit: Callable[[list[Any]], None], words: str
    ) -> None:  # fmt: skip
        edit(task["annotations"][0]["result"])
        with pytest.raises(formats.SaywhereError, match=words):
            only_image(save_json(folder / "in.json", [task]), folder / "images")


def brush(opacity: list[int]) -> list[int]:
    """Opacities as Label Studio's run lengths: a run for those that are equal, with lengths of 16 bits."""
    values = [value for value in opacity for _ in range(4)]
    bits = f"{len(values):032b}{7:05b}" + "1111" * 4
    start = 0
    for place in range(1, len(values) + 1):
        if place == len(values) or values[place] != values[start]:
            bits += f"1{0:02b}{place - start - 1:016b}{values[start]:08b}"
            start = place
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]
