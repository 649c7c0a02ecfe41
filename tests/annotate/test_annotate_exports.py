"""Exports that people train with: formats, images, splits, simplified outlines, manifests, versions, the command."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from annotator import act, click, mask_of, picture
from PIL import Image
from starlette.testclient import TestClient
from typer.testing import CliRunner

from saywhere.annotate.service import Annotator
from saywhere.cli.app import app
from saywhere.data import formats


@pytest.fixture
def annotated(client: TestClient) -> dict[str, Any]:
    """Images 1 and 2 are done, with a ball each; the answer to the first click."""
    label = client.post("/api/labels", json={"name": "ball"}).json()["id"]
    answer = act(client, 1, click(300, 200, label=label)).json()
    act(client, 2, click(180, 200, label=label)).raise_for_status()
    for image in (1, 2):
        act(client, image, {"kind": "mark", "value": "done"}).raise_for_status()
    return answer


def export(client: TestClient, **options: object) -> tuple[dict[str, Any], httpx.Response]:
    """Make an export; its description and its file."""
    made = client.post("/api/exports", json=options)
    assert made.status_code == 201, made.text
    return made.json(), client.get(f"/api/exports/{made.json()['version']}/file")


def unpack(answer: httpx.Response, place: Path) -> set[str]:
    """Extract a ZIP; the names in it."""
    with zipfile.ZipFile(io.BytesIO(answer.content)) as file:
        file.extractall(place)
        return set(file.namelist())


@pytest.mark.usefixtures("annotated")
class TestVersions:
    def test_manifest(self, client: TestClient) -> None:
        made, answer = export(client)
        assert made["name"] == "annotations-v1.json"
        assert made["changes"] is None
        assert made["left_out"] == ["left out: 1 image not annotated"]
        content = answer.json()
        assert content["info"]["manifest"]["version"] == 1
        manifest = client.get("/api/exports/1").json()
        assert manifest == content["info"]["manifest"]
        assert manifest["counts"] == {"images": 2, "objects": 2, "labels": {"ball": 2}, "splits": {}}
        assert manifest["options"] == {
            "format": "coco", "only_done": True, "images": False, "split": None, "simplify": 0.0,
        }  # fmt: skip
        assert all(len(entry["sha256"]) == len(entry["annotations"]) == 64 for entry in manifest["images"])

    def test_what_changed(self, client: TestClient) -> None:
        first, _ = export(client)
        again, _ = export(client)
        hashes = [client.get(f"/api/exports/{n}").json()["annotations_sha256"] for n in (1, 2)]
        assert hashes[0] == hashes[1]
        assert {kind: again["changes"][kind] for kind in ("added", "removed", "changed", "labels")} == {
            "added": [], "removed": [], "changed": [], "labels": {},
        }  # fmt: skip
        act(client, 1, click(330, 200, positive=False, object=1)).raise_for_status()
        act(client, 1, {"kind": "mark", "value": "done"}).raise_for_status()
        act(client, 2, {"kind": "mark", "value": "open"}).raise_for_status()
        act(client, 3, {"kind": "mark", "value": "done"}).raise_for_status()
        third, _ = export(client, format="yolo")
        changes = third["changes"]
        assert (changes["from"], changes["to"]) == (2, 3)
        assert (changes["added"], changes["removed"]) == (["c-none.png"], ["b-two.png"])
        assert (changes["changed"], changes["labels"]) == (["a-one.png"], {"ball": [2, 1]})
        assert changes["options"] == {"format": ["coco", "yolo"]}
        assert client.get("/api/exports/3/changes", params={"since": 1}).json()["added"] == ["c-none.png"]
        listed = client.get("/api/exports").json()
        assert [one["version"] for one in listed] == [3, 2, 1]
        assert first["counts"] == listed[-1]["counts"]

    def test_what_is_not_there(self, client: TestClient) -> None:
        for path in ("/api/exports/9", "/api/exports/9/file", "/api/exports/9/changes?since=1"):
            assert client.get(path).status_code == 404
        for bad in ({"format": "exe"}, {"split": {"train": 0}}, {"simplify": -1}, {"simplify": 1e9}, {"wrong": 1}):
            assert client.post("/api/exports", json=bad).status_code == 422, bad
        assert client.get("/api/exports").json() == [], "what failed is no version"


class TestFormats:
    def test_yolo_boxes(self, client: TestClient, annotated: dict[str, Any], tmp_path: Path) -> None:
        unpack(export(client, format="yolo-boxes", images=True)[1], tmp_path / "out")
        (image, *_) = [one() for one in formats.read(tmp_path / "out", "yolo").images]
        (box,) = image.boxes
        rows, columns = np.nonzero(mask_of(annotated, 1))
        width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
        assert box.box == pytest.approx((columns.min(), rows.min(), width, height), abs=0.01)
        assert box.label == "ball"

    def test_coco_polygons_and_images(self, client: TestClient, annotated: dict[str, Any], tmp_path: Path) -> None:
        made, answer = export(client, format="coco-polygons", images=True)
        names = unpack(answer, tmp_path / "out")
        assert made["name"] == "annotations-v1-coco-polygons.zip"
        assert {"annotations/instances.json", "images/a-one.png", "images/b-two.png"} <= names
        source = formats.read(tmp_path / "out/annotations/instances.json", "coco", tmp_path / "out/images")
        first = source.images[0]()
        assert first.path is not None
        assert (first.objects[0].mask == mask_of(annotated, 1)).all()
        content = json.loads((tmp_path / "out/annotations/instances.json").read_text())
        assert isinstance(content["annotations"][0]["segmentation"], list)

    @pytest.mark.parametrize("format", ["coco-polygons", "yolo", "labelme-polygons"])
    def test_simplified_outlines(
        self, client: TestClient, annotated: dict[str, Any], tmp_path: Path, format: str
    ) -> None:
        sizes, truth = [], mask_of(annotated, 1)
        for simplify in (0, 2):
            place = tmp_path / str(simplify)
            answer = export(client, format=format, simplify=simplify)[1]
            if answer.headers["content-type"] == "application/json":
                place = place.with_suffix(".json")
                place.write_bytes(answer.content)
                sizes.append(len(answer.json()["annotations"][0]["segmentation"][0]))
            else:
                unpack(answer, place)
                text = place / ("labels/a-one.txt" if format == "yolo" else "a-one.json")
                sizes.append(len(text.read_bytes()))
            found = formats.read(place, format.split("-")[0], tmp_path / "photos").images[0]().objects[0].mask
            iou = (found & truth).sum() / (found | truth).sum()
            assert iou > (0.9999, 0.95)[simplify > 0]
        assert sizes[1] < sizes[0] / 3

    def test_simplifying_masks_is_refused_softly(self, client: TestClient, annotated: dict[str, Any]) -> None:
        assert "outlines are not simplified: png has none" in export(client, format="png", simplify=1)[0]["notes"]

    def test_an_image_that_is_gone_is_left_out_with_images(
        self, client: TestClient, annotated: dict[str, Any], tmp_path: Path
    ) -> None:
        (tmp_path / "photos/a-one.png").unlink()
        made, answer = export(client, format="yolo", images=True)
        assert made["counts"]["images"] == 1
        assert any("a-one.png" in line for line in made["left_out"])
        assert "labels/a-one.txt" not in unpack(answer, tmp_path / "out")


class TestSplits:
    @pytest.fixture
    def client(self, annotator: Annotator, tmp_path: Path) -> TestClient:
        """Nine images that are done: six scenes, of which one is there four times."""
        from annotator import open_client

        for number in range(6):
            rng = np.random.default_rng(number)
            discs = [(*(int(v) for v in rng.integers(80, 400, 2)), 60) for _ in range(4)]
            Image.fromarray(picture(discs)).save(tmp_path / f"photos/s{number}.png")
            if number == 5:
                for copy in range(3):
                    Image.fromarray(picture(discs)).save(tmp_path / f"photos/s5-{copy}.jpg", quality=90)
        for name in ("a-one", "b-two", "c-none"):
            (tmp_path / f"photos/{name}.png").unlink()
        annotator.rescan()
        client = open_client(annotator)
        label = client.post("/api/labels", json={"name": "ball"}).json()["id"]
        for row in client.get("/api/images").json()["images"]:
            if not row["missing"]:
                act(client, row["id"], click(5, 5, label=label)).raise_for_status()
                act(client, row["id"], {"kind": "mark", "value": "done"}).raise_for_status()
        return client

    def test_every_format(self, client: TestClient, tmp_path: Path) -> None:
        split = {"train": 60, "val": 20, "test": 20}
        made, answer = export(client, format="yolo", split=split, images=True)
        parts = {entry["file"]: entry["split"] for entry in client.get("/api/exports/1").json()["images"]}
        assert sum(made["counts"]["splits"].values()) == 9
        assert set(made["counts"]["splits"]) == {"train", "val", "test"}
        assert len({part for name, part in parts.items() if name.startswith("s5")}) == 1
        assert "near-duplicates" in client.get("/api/exports/1").json()["split_rule"]
        names = unpack(answer, tmp_path / "yolo")
        for name, part in parts.items():
            stem = Path(name).stem
            assert {f"images/{part}/{name}", f"labels/{part}/{stem}.txt"} <= names
        content = yaml.safe_load((tmp_path / "yolo/data.yaml").read_text())
        assert [content[part] for part in split] == ["images/train", "images/val", "images/test"]
        assert len(formats.read(tmp_path / "yolo", "yolo").images) == 9
        unpack(export(client, format="voc", split=split)[1], tmp_path / "voc")
        unpack(export(client, format="coco", split=split)[1], tmp_path / "coco")
        unpack(export(client, format="labelme", split=split)[1], tmp_path / "labelme")
        unpack(export(client, format="png", split=split)[1], tmp_path / "png")
        for part in split:
            expected = sorted(name for name, each in parts.items() if each == part)
            stems = sorted(Path(name).stem for name in expected)
            assert sorted((tmp_path / f"voc/ImageSets/Segmentation/{part}.txt").read_text().split()) == stems
            coco = json.loads((tmp_path / f"coco/annotations/instances_{part}.json").read_text())
            assert [image["file_name"] for image in coco["images"]] == expected
            assert sorted(path.stem for path in (tmp_path / "labelme" / part).glob("*.json")) == stems
            assert sorted(path.stem for path in (tmp_path / "png" / part).glob("*.png")) == stems
        again = client.get("/api/exports/5").json()
        assert {entry["file"]: entry["split"] for entry in again["images"]} == parts


class TestCommand:
    def run(self, *arguments: object) -> Any:
        return CliRunner().invoke(app, ["export", "project", *map(str, arguments)])

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        from annotator import make, make_folder, open_client

        from saywhere.annotate.db.database import Database, default_database_url

        folder = make_folder(tmp_path / "own")
        database = Database(default_database_url(folder))
        annotator = make(folder, database)
        client = open_client(annotator)
        act(client, 1, click(300, 200)).raise_for_status()
        act(client, 1, {"kind": "mark", "value": "done"}).raise_for_status()
        act(client, 2, click(180, 200)).raise_for_status()
        annotator.close()
        database.close()
        return folder

    def test_formats_and_places(self, folder: Path, tmp_path: Path) -> None:
        result = self.run(folder, tmp_path / "set", "--format", "yolo", "--images", "--split", "80/10/10", "--all")
        assert result.exit_code == 0, result.output
        assert "version 1: 2 objects in 2 images" in result.output
        assert "left out: 1 image not annotated" in result.output
        assert (tmp_path / "set/saywhere-manifest.json").is_file()
        assert len(list((tmp_path / "set/images").rglob("*.png"))) == 2
        result = self.run(folder, tmp_path / "out.json", "--json")
        report = json.loads(result.output)
        assert report["changes"]["removed"] == ["b-two.png"]
        assert report["manifest"]["counts"]["objects"] == 1
        result = self.run(folder, tmp_path / "out.zip", "--format", "coco", "--simplify", "1")
        assert result.exit_code == 0, result.output
        with zipfile.ZipFile(tmp_path / "out.zip") as file:
            assert file.namelist() == ["annotations.json"]

    def test_errors_are_one_line(self, folder: Path, tmp_path: Path) -> None:
        for arguments, words in [
            ((folder, tmp_path / "x"), "give it the ending .json"),
            ((folder, tmp_path / "x.json", "--format", "yolo"), "more than one file"),
            ((folder, tmp_path / "x", "--format", "exe"), "not known"),
            ((folder, tmp_path / "x.json", "--split", "1"), "train/val"),
            ((tmp_path, tmp_path / "x.json"), "was not annotated"),
        ]:
            result = self.run(*arguments)
            assert result.exit_code != 0
            assert words in str(result.exception), arguments
