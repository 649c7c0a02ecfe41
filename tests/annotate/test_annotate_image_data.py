"""What a COCO file says of images beside objects, and VOC's boxes without masks: imported, undone and exported."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from annotator import act, click
from starlette.testclient import TestClient

from saywhere.data import formats
from saywhere.errors import SaywhereError

LICENCE = {"id": 2, "name": "CC BY", "url": "https://example.org"}
SAID = {"license": 2, "date_captured": "2024-05-01", "flags": {"blurred": True}, "coco_url": "https://example.org/a"}


def coco(file_name: str = "a-one.png", licence: dict[str, Any] = LICENCE, **said: Any) -> bytes:
    image = {"id": 30, "file_name": file_name, "width": 640, "height": 480, **said}
    annotation = {"id": 1, "image_id": 30, "category_id": 5, "bbox": [10, 10, 20, 20], "segmentation": []}
    categories = [{"id": 5, "name": "cat"}]
    content = {"licenses": [licence], "images": [image], "annotations": [annotation], "categories": categories}
    return json.dumps(content).encode()


def preview_of(client: TestClient, content: bytes, name: str = "a.json") -> dict[str, Any]:
    answer = client.post(f"/api/imports?name={name}", content=content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def add(client: TestClient, content: bytes, name: str = "a.json") -> dict[str, Any]:
    preview = preview_of(client, content, name)
    return client.post(f"/api/imports/{preview['id']}", json={"status": "done"}).json()


def exported(client: TestClient) -> dict[str, Any]:
    return client.get("/api/export").json()


class TestImageData:
    def test_comes_back_with_its_licence(self, client: TestClient) -> None:
        assert preview_of(client, coco(**SAID))["with_data"] == 1
        assert add(client, coco(**SAID))["objects"] == 1
        content = exported(client)
        (image,) = content["images"]
        assert {key: image[key] for key in SAID} == SAID
        assert content["licenses"] == [LICENCE]
        assert (image["file_name"], image["width"]) == ("a-one.png", 640)

    def test_is_not_added_twice_and_is_undone_with_its_objects(self, client: TestClient) -> None:
        add(client, coco(**SAID))
        again = preview_of(client, coco(**SAID))
        assert (again["with_data"], again["objects"]) == (0, 0)
        assert add(client, coco(**SAID, more=1))["images"] == [1], "what is new is added alone"
        assert exported(client)["images"][0]["more"] == 1
        act(client, 1, {"kind": "undo"}).raise_for_status()
        assert "more" not in exported(client)["images"][0]
        act(client, 1, {"kind": "undo"}).raise_for_status()
        assert client.get("/api/images/1").json()["state"]["objects"] == []
        act(client, 1, click(300, 200)).raise_for_status()
        act(client, 1, {"kind": "mark", "value": "done"}).raise_for_status()
        content = exported(client)
        assert "license" not in content["images"][0]
        assert "licenses" not in content

    def test_licences_of_two_files_get_ids_of_their_own(self, client: TestClient) -> None:
        add(client, coco(**SAID))
        add(client, coco("b-two.png", {**LICENCE, "name": "other"}, **SAID))
        content = exported(client)
        ids = {one["name"]: one["id"] for one in content["licenses"]}
        assert ids == {"CC BY": 2, "other": 1}
        assert {one["file_name"]: one["license"] for one in content["images"]} == {"a-one.png": 2, "b-two.png": 1}

    def test_withdraws_no_approval(self, client: TestClient) -> None:
        add(client, coco(**SAID))
        act(client, 1, {"kind": "review", "verdict": "approved"}).raise_for_status()
        client.delete("/api/images/1/lock")
        add(client, coco(**SAID, more=1))
        assert client.get("/api/images/1").json()["state"]["review"] == "approved"

    def test_other_formats_say_that_they_leave_it_out(self, client: TestClient) -> None:
        add(client, coco(**SAID))
        with zipfile.ZipFile(io.BytesIO(client.get("/api/export?format=yolo").content)) as file:
            notes = file.read("notes.txt").decode()
        assert "date_captured" in notes
        assert "licenses of the source left out" in notes

    def test_very_long_data_is_left_out(self, client: TestClient) -> None:
        preview = preview_of(client, coco(description="x" * 30_000))
        assert preview["with_data"] == 0
        assert any("very long" in line for line in preview["left_out"])


def voc(file_name: str = "a-one.png", size: tuple[int, int] | None = (640, 480)) -> str:
    sides = "" if size is None else f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    box = "<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>60</xmax><ymax>80</ymax></bndbox>"
    return (
        f"<annotation><filename>{file_name}</filename>{sides}<object><name>cat</name>{box}</object>"
        "<object><name>dog</name></object></annotation>"
    )


def zipped(files: dict[str, str]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()


class TestBoxesOfVOC:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("boxes.zip", zipped({"VOC/Annotations/a-one.xml": voc(), "VOC/ImageSets/Main/train.txt": "a-one\n"})),
            ("flat.zip", zipped({"a-one.xml": voc(), "sub/b-two.xml": voc("b-two.png")})),
            ("a-one.xml", voc().encode()),
            ("unsized.zip", zipped({"Annotations/a-one.xml": voc(size=(0, 0))})),
        ],
    )
    def test_become_objects_that_are_only_a_box(self, client: TestClient, name: str, content: bytes) -> None:
        preview = preview_of(client, content, name)
        count = 2 if name == "flat.zip" else 1
        assert (preview["images"], preview["objects"]) == (count, count)
        assert any("1 objects of" in line and "have no box" in line for line in preview["left_out"])
        client.post(f"/api/imports/{preview['id']}", json={"status": "todo"}).raise_for_status()
        (one,) = client.get("/api/images/1").json()["state"]["objects"]
        assert (one["rectangle"], one["mask"]) == ([10, 20, 60, 80], None)
        labels = {row["id"]: row["name"] for row in client.get("/api/project").json()["labels"]}
        assert labels[one["label"]] == "cat"

    def test_of_an_image_that_is_not_there(self, client: TestClient) -> None:
        preview = preview_of(client, zipped({"Annotations/z.xml": voc("z.png")}), "a.zip")
        assert any("not in this project" in line for line in preview["left_out"])

    def test_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "a.xml").write_text("<annotation><size>")
        with pytest.raises(SaywhereError, match="cannot be read as VOC's XML"):
            formats.read(tmp_path, "voc").images[0]()
        (tmp_path / "a.xml").write_text(voc(size=None))
        with pytest.raises(SaywhereError, match="says no size"):
            formats.read(tmp_path, "voc").images[0]()
        (tmp_path / "a.xml").write_text("<html></html>")
        with pytest.raises(SaywhereError, match="no known format"):
            formats.read(tmp_path)
