"""Imports into a project: every format, previews, nothing twice, one undo, refined by clicks, hostile files."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import Server, act, click, make, make_folder, mask_of, open_client
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from conftest import disc
from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.imports.matching import ImageMatcher
from saywhere.annotate.service import Annotator
from saywhere.cli.app import app
from saywhere.core.geometry import ImageSize
from saywhere.data import formats

SIZE = ImageSize(480, 640)
LEFT, RIGHT = disc(*SIZE, 180, 200, 60), disc(*SIZE, 460, 280, 50)


def packed(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(folder))
    return buffer.getvalue()


def zipped(files: dict[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


def upload(client: TestClient, content: bytes, name: str, **params: object) -> dict[str, Any]:
    answer = client.post("/api/imports", params={"name": name, **params}, content=content)
    assert answer.status_code == 201, answer.text
    return answer.json()


def add(client: TestClient, content: bytes, name: str, status: str = "todo", **params: object) -> dict[str, Any]:
    id = upload(client, content, name, **params)["id"]
    answer = client.post(f"/api/imports/{id}", json={"status": status})
    assert answer.status_code == 200, answer.text
    return answer.json()


def coco(*objects: tuple[str, np.ndarray, str | None], **more: object) -> bytes:
    """A COCO file of objects: the image's name, the mask, the label."""
    names = list(dict.fromkeys(name for name, _, _ in objects))
    labels = list(dict.fromkeys(label or "object" for _, _, label in objects))
    content = {
        "images": [{"id": i, "file_name": name, "height": 480, "width": 640} for i, name in enumerate(names, 1)],
        "categories": [{"id": i, "name": label} for i, label in enumerate(labels, 1)],
        "annotations": [
            {
                "id": i, "image_id": names.index(name) + 1, "category_id": labels.index(label or "object") + 1,
                "iscrowd": 0, **formats.ObjectAnnotation.from_mask(mask).region.as_annotation(), **more,
            }
            for i, (name, mask, label) in enumerate(objects, 1)
        ],
    }  # fmt: skip
    return json.dumps(content).encode()


def masks_of(client: TestClient, image: int) -> list[np.ndarray]:
    state = client.get(f"/api/images/{image}").json()["state"]
    return [mask_of(state, one["id"]) for one in state["objects"]]


class TestImport:
    def test_preview_then_add(self, client: TestClient) -> None:
        content = coco(("b-two.png", LEFT, "ball"), ("b-two.png", RIGHT, " red  ball "), ("x.png", LEFT, "ball"),
                       score=0.75)  # fmt: skip
        preview = upload(client, content, "labels.json")
        assert (preview["images"], preview["objects"], preview["duplicates"]) == (1, 2, 0)
        assert preview["new_labels"] == ["ball", "red ball"]
        assert preview["left_out"] == ["an image that is not in this project: 'x.png'"]
        assert client.get("/api/images").json()["images"][1]["state"] == "new", "nothing is changed yet"
        added = client.post(f"/api/imports/{preview['id']}", json={}).json()
        assert added == {"images": [2], "objects": 2, "left_out": []}
        state = client.get("/api/images/2").json()["state"]
        assert state["state"] == "started"
        names = {row["id"]: row["name"] for row in client.get("/api/project").json()["labels"]}
        assert [names[one["label"]] for one in state["objects"]] == ["ball", "red ball"]
        assert [one["score"] for one in state["objects"]] == [0.75, 0.75]
        assert all((found == mask).all() for found, mask in zip(masks_of(client, 2), (LEFT, RIGHT), strict=True))
        assert client.post(f"/api/imports/{preview['id']}", json={}).status_code == 404, "it was added once"

    def test_one_undo_takes_an_image_back(self, client: TestClient) -> None:
        add(client, coco(("b-two.png", LEFT, "ball"), ("b-two.png", RIGHT, "ball")), "a.json", "done")
        assert client.get("/api/images/2").json()["state"]["state"] == "done"
        undone = act(client, 2, {"kind": "undo"}).json()
        assert (undone["objects"], undone["state"], undone["can_undo"]) == ([], "new", False)
        redone = act(client, 2, {"kind": "redo"}).json()
        assert (len(redone["objects"]), redone["state"]) == (2, "done")

    def test_nothing_is_added_twice(self, client: TestClient) -> None:
        content = coco(("b-two.png", LEFT, "ball"), ("b-two.png", LEFT, "thing"), ("b-two.png", RIGHT, "ball"),
                       ("b-two.png", RIGHT, "ball"))  # fmt: skip
        assert add(client, content, "a.json")["objects"] == 3, "the last one is there twice in the file"
        again = upload(client, content, "a.json")
        assert (again["objects"], again["duplicates"], again["new_labels"]) == (0, 4, [])
        assert client.post(f"/api/imports/{again['id']}", json={"status": "done"}).json()["images"] == []
        act(client, 2, {"kind": "brush", "object": 1, "paint": True, "radius": 40, "points": [[100, 400], [300, 400]]})
        act(client, 2, {"kind": "label", "object": 3, "label": None})
        assert upload(client, content, "a.json")["objects"] == 0, "they were refined and relabelled since"
        act(client, 2, {"kind": "delete", "object": 2}).raise_for_status()
        assert add(client, content, "a.json")["objects"] == 1, "what was deleted is added again"

    def test_what_a_person_drew_is_not_added_again(self, client: TestClient) -> None:
        label = client.post("/api/labels", json={"name": "ball"}).json()["id"]
        act(client, 2, click(180, 200, label=label)).raise_for_status()
        larger = disc(*SIZE, 180, 200, 61)
        preview = upload(client, coco(("b-two.png", larger, "ball"), ("b-two.png", RIGHT, "ball")), "a.json")
        assert (preview["objects"], preview["duplicates"]) == (1, 1)

    def test_images_without_objects_are_negatives_only_where_all_is_done(self, client: TestClient) -> None:
        content = json.loads(coco(("b-two.png", LEFT, "ball")))
        content["images"].append({"id": 9, "file_name": "c-none.png", "height": 480, "width": 640})
        assert add(client, json.dumps(content).encode(), "a.json")["images"] == [2]
        preview = upload(client, json.dumps(content).encode(), "a.json")
        assert preview["empty_images"] == 1
        assert add(client, json.dumps(content).encode(), "a.json", "done")["images"] == [3]
        assert client.get("/api/images/3").json()["state"]["state"] == "done"

    def test_what_is_left_out_is_said(self, client: TestClient) -> None:
        content = json.loads(coco(("b-two.png", LEFT, "ball"), ("b-two.png", RIGHT, "ball")))
        content["annotations"][0]["iscrowd"] = 1
        content["annotations"].append({"id": 8, "image_id": 1, "category_id": 1, "bbox": [700, 2, 30, 40]})
        content["images"] += [{"id": 5, "file_name": "a-one.png", "height": 48, "width": 64}]
        text = json.dumps(content).encode()
        preview = upload(client, text, "a.json")
        assert preview["objects"] == 1
        said = "\n".join(preview["left_out"])
        for words in ("crowd regions: 1", "boxes outside the image: 1", "'a-one.png': is 640x480"):
            assert words in said
        assert upload(client, text, "a.json", crowds=True)["objects"] == 2

    def test_an_image_that_somebody_edits_is_left_out(self, client: TestClient, annotator: Annotator) -> None:
        other = open_client(annotator, name="another-page")
        other.post("/api/images/2/lock", headers={"X-Saywhere-Person": "Ann"}).raise_for_status()
        added = add(client, coco(("b-two.png", LEFT, "ball"), ("a-one.png", LEFT, "ball")), "a.json")
        assert added["images"] == [1]
        assert "Ann is editing it now" in added["left_out"][0]
        assert other.post("/api/images/1/lock").status_code == 200, "the import leaves no lock behind"


class TestRefinement:
    def test_clicks_refine_an_imported_mask(self, client: TestClient, annotator: Annotator) -> None:
        """The network sees the mask at the first click, and what it had stays."""
        extra = LEFT.copy()
        extra[400:420, 100:200] = True
        add(client, coco(("b-two.png", extra, "ball")), "a.json")
        runtime = annotator.segmenters.runtime
        runtime.previous.clear()
        after = act(client, 2, click(460, 280, object=1)).json()
        assert len(after["objects"]) == 1
        assert runtime.previous[-1] is not None
        mask = mask_of(after, 1)
        assert mask[280, 460], "what was clicked"
        assert mask[410, 150], "what was imported"
        assert (mask & extra).sum() > 0.98 * extra.sum()
        undone = act(client, 2, {"kind": "undo"}).json()
        assert (mask_of(undone, 1) == extra).all() if undone["masks"] else (masks_of(client, 2)[0] == extra).all()
        redone = act(client, 2, {"kind": "redo"}).json()
        assert redone["objects"][0]["area"] == after["objects"][0]["area"]

    def test_negative_click_brush_phrase_and_threshold(self, client: TestClient) -> None:
        add(client, coco(("b-two.png", LEFT, "ball")), "a.json")
        assert act(client, 2, {"kind": "threshold", "object": 1, "value": 0.4}).status_code == 422
        assert client.get("/api/images/2/objects/1/probability").status_code == 422
        stroke = {"kind": "brush", "object": 1, "paint": False, "radius": 10, "points": [[180, 200]]}
        assert not mask_of(act(client, 2, stroke).json(), 1)[200, 180]
        said = act(client, 2, {"kind": "phrase", "object": 1, "text": "ball"})
        assert said.status_code == 200, said.text
        back = act(client, 2, {"kind": "phrase", "object": 1, "text": None}).json()
        mask = mask_of(back, 1)
        assert not mask[200, 180]
        assert mask[170, 180], "without the phrase it is what was imported, with the stroke"

    def test_done_images_with_imported_objects_are_learned_from(self, client: TestClient) -> None:
        add(client, coco(("b-two.png", LEFT, "ball")), "a.json")
        assert act(client, 2, {"kind": "mark", "value": "done"}).status_code == 200
        statistics = client.get("/api/stats").json()
        (row,) = statistics["objects"]
        assert (row["interactions"], row["seconds"]) == (0, 0.0)
        assert statistics["effort"] == [], "nobody spent any"


WRITERS = {
    "coco": ("coco", {}), "coco-polygons": ("coco", {"polygons": True}), "voc": ("voc", {}), "yolo": ("yolo", {}),
    "labelme": ("labelme", {}), "labelme-polygons": ("labelme", {"polygons": True}), "png": ("png", {}),
}  # fmt: skip


class TestRoundTrip:
    @pytest.fixture
    def other(self, tmp_path: Path) -> Any:
        """A second project of the same images."""
        database = Database(default_database_url(make_folder(tmp_path / "other")))
        annotator = make(tmp_path / "other", database)
        yield open_client(annotator)
        annotator.close()
        database.close()

    @pytest.mark.parametrize("format", WRITERS)
    def test_export_import_export(self, client: TestClient, other: TestClient, format: str) -> None:
        """What is exported, imported into another project and exported again is the same."""
        add(client, coco(("b-two.png", LEFT, "ball"), ("b-two.png", RIGHT, "a red thing"), ("a-one.png", LEFT, "ball")),
            "a.json", "done")  # fmt: skip
        act(client, 3, {"kind": "mark", "value": "done"}).raise_for_status()
        first = client.get("/api/export", params={"format": format})
        name = "a.json" if format.startswith("coco") else "a.zip"
        preview = upload(other, first.content, name)
        assert (preview["images"], preview["objects"]) == (3, 3), preview
        assert sorted(preview["new_labels"]) == ["a red thing", "ball"]
        other.post(f"/api/imports/{preview['id']}", json={"status": "done"}).raise_for_status()
        second = other.get("/api/export", params={"format": format})
        for each in (client, other):
            each.post("/api/exports", json={"format": format}).raise_for_status()
        hashes = [each.get("/api/exports/1").json()["annotations_sha256"] for each in (client, other)]
        assert hashes[0] == hashes[1]
        if name == "a.zip":
            contents = [zipfile.ZipFile(io.BytesIO(each.content)) for each in (first, second)]
            names = [sorted(set(each.namelist()) - {"saywhere-manifest.json"}) for each in contents]
            assert names[0] == names[1]
            for member in names[0]:
                assert contents[0].read(member) == contents[1].read(member), member
        assert upload(other, first.content, name)["objects"] == 0

    def test_author_and_attributes_come_back(self, client: TestClient) -> None:
        content = coco(("b-two.png", LEFT, "ball"), attributes={"occluded": True}, author="Ann", score=0.5)
        add(client, content, "a.json", "done")
        (annotation,) = client.get("/api/export").json()["annotations"]
        assert (annotation["attributes"], annotation["author"], annotation["score"]) == ({"occluded": True}, "Ann", 0.5)

    def test_boxes_and_attributes_can_be_changed(self, client: TestClient) -> None:
        content = json.loads(
            coco(("b-two.png", LEFT, "ball"), attributes={"occluded": True, "count": 3, "rgb": [1, 2]})
        )
        box = {"id": 8, "image_id": 1, "category_id": 1, "bbox": [410.5, 230, 100, 100], "author": "Ann"}
        content["annotations"].append(box)
        text = json.dumps(content).encode()
        add(client, text, "a.json", "done")
        first, second = client.get("/api/images/2").json()["state"]["objects"]
        assert first["attributes"] == {"occluded": True, "count": 3}
        assert second["rectangle"] == [410.5, 230, 510.5, 330]
        assert upload(client, text, "a.json")["duplicates"] == 2
        change = {"kind": "attribute", "object": 1, "name": "occluded", "value": False}
        assert act(client, 2, change).status_code == 200
        assert act(client, 2, click(460, 280, object=2)).json()["objects"][1]["area"] > 1000, "a click gives it a mask"

    def test_boxes_come_back(self, client: TestClient, other: TestClient) -> None:
        add(client, coco(("b-two.png", LEFT, "ball"), ("b-two.png", RIGHT, "ball")), "a.json", "done")
        content = client.get("/api/export", params={"format": "yolo-boxes"}).content
        assert add(other, content, "a.zip", "done")["objects"] == 2
        again = other.get("/api/export", params={"format": "yolo-boxes"}).content
        texts = [zipfile.ZipFile(io.BytesIO(each)).read("labels/b-two.txt") for each in (content, again)]
        assert texts[0] == texts[1]
        assert upload(other, content, "a.zip")["objects"] == 0
        assert upload(client, content, "a.zip")["objects"] == 0, "the boxes of what has masks here"

    def test_a_split_with_images_comes_back(self, client: TestClient, other: TestClient) -> None:
        add(client, coco(("b-two.png", LEFT, "ball"), ("a-one.png", LEFT, "ball"), ("c-none.png", LEFT, "ball")),
            "a.json", "done")  # fmt: skip
        for number, format in enumerate(("coco", "yolo", "voc", "labelme", "png"), 1):
            split = {"train": 1, "val": 1, "test": 1}
            client.post("/api/exports", json={"format": format, "images": True, "split": split}).raise_for_status()
            content = client.get(f"/api/exports/{number}/file").content
            preview = upload(other, content, "a.zip")
            assert (preview["images"], preview["objects"]) == (3, 3), (format, preview)


class TestFindSources:
    def test_photographs_are_no_masks_beside_annotations(self, client: TestClient, tmp_path: Path) -> None:
        photo = (tmp_path / "photos/b-two.png").read_bytes()
        content = zipped({"labels.json": coco(("b-two.png", LEFT, "ball")), "pictures/b-two.png": photo})
        preview = upload(client, content, "a.zip")
        assert (preview["objects"], preview["left_out"]) == (1, [])

    def test_index_masks_alone(self, client: TestClient) -> None:
        buffer = io.BytesIO()
        Image.fromarray((LEFT * 1 + RIGHT * 2).astype(np.uint8)).save(buffer, "PNG")
        preview = upload(client, zipped({"masks/b-two.png": buffer.getvalue()}), "a.zip")
        assert (preview["images"], preview["objects"], preview["new_labels"]) == (1, 2, [])


class TestHostileFiles:
    @pytest.mark.parametrize(
        ("content", "name"),
        [
            (b"", "a.json"), (b"{", "a.json"), (b"[]", "a.json"), (b"PK\x03\x04", "a.zip"), (b"x" * 100, "a.zip"),
            (b'{"images": 3}', "a.json"), (zipped({"readme.txt": "hello"}), "a.zip"),
            (zipped({"../out.json": "{}"}), "a.zip"), (zipped({"/abs.json": "{}"}), "a.zip"),
            (zipped({"big.json": b"0" * 50_000_000}), "a.zip"), (b"GIF89a", "photo.gif"),
        ],
    )  # fmt: skip
    def test_is_refused_in_one_line(self, client: TestClient, tmp_path: Path, content: bytes, name: str) -> None:
        answer = client.post("/api/imports", params={"name": name}, content=content)
        assert answer.status_code == 422, answer.text
        error = answer.json()["error"]
        assert "\n" not in error
        assert "/tmp" not in error
        assert not (tmp_path.parent / "out.json").exists()

    def test_a_link_in_a_zip_is_refused(self, client: TestClient) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as file:
            link = zipfile.ZipInfo("a.json")
            link.external_attr = 0o120777 << 16
            file.writestr(link, "/etc/passwd")
        answer = client.post("/api/imports", params={"name": "a.zip"}, content=buffer.getvalue())
        assert answer.status_code == 422
        assert "link" in answer.json()["error"]

    def test_too_large_a_body(self, client: TestClient) -> None:
        headers = {"content-length": str(300 << 20)}
        assert client.post("/api/imports", params={"name": "a.json"}, content=b"{}", headers=headers).status_code == 413

    def test_no_import_into_a_study(self, tmp_path: Path) -> None:
        database = Database(default_database_url(make_folder(tmp_path / "study")))
        annotator = make(tmp_path / "study", database, "click")
        answer = open_client(annotator).post("/api/imports", params={"name": "a.json"}, content=b"{}")
        assert answer.status_code == 422
        assert "study" in answer.json()["error"]
        annotator.close()
        database.close()


def test_names_mean_images() -> None:
    rows = [ImageRow(id=i, path=path, missing=False)
            for i, path in enumerate(["a.jpg", "x/b.jpg", "y/b.jpg", "b.png", "z/c.webp"])]  # fmt: skip
    matcher = ImageMatcher(rows)

    def path(name: str) -> str | None:
        row = matcher.find(name)
        return None if row is None else row.path

    assert path("a.jpg") == path("train/a.jpg") == path("C:/data/a.jpg") == "a.jpg"
    assert path("train/x/b.jpg") == "x/b.jpg"
    assert path("b.jpg") is None, "two images have this end"
    assert path("c.webp") == path("masks/c.png") == "z/c.webp"
    assert path("b.png") == "b.png"
    assert path("nowhere.jpg") is None


def test_pre_labels_of_this_project_are_imported(client: TestClient, tmp_path: Path) -> None:
    points, out = tmp_path / "points.csv", tmp_path / "pre.json"
    points.write_text("file,x,y,object,category\nb-two.png,180,200,1,ball\nb-two.png,460,280,2,ball\n")
    arguments = ["prelabel", str(tmp_path / "photos"), "--points", str(points), "--out", str(out)]
    result = CliRunner().invoke(app, [*arguments, "--model", "annotator:fast"])
    assert result.exit_code == 0, (result.output, result.exception)
    added = add(client, out.read_bytes(), "pre.json")
    assert (added["images"], added["objects"]) == ([2], 2)
    masks = masks_of(client, 2)
    assert (masks[0] & LEFT).sum() > 0.95 * (masks[0] | LEFT).sum()
    assert [one["score"] is not None for one in client.get("/api/images/2").json()["state"]["objects"]] == [True] * 2


def test_the_command_imports(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "photos")
    (tmp_path / "labels.json").write_bytes(coco(("b-two.png", LEFT, "ball"), ("x.png", LEFT, "ball")))
    server = Server(folder, "--import", str(tmp_path / "labels.json"), "--import-done")
    try:
        assert "1 objects in 1 images; new labels: ball" in server.output
        assert "left out: an image that is not in this project: 'x.png'" in server.output
        assert server.client().get("/api/images/2").json()["state"]["state"] == "done"
    finally:
        server.stop()
