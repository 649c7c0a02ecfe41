"""Lasso, polygon, holes, crumbs, boxes without a mask, order and attributes: events with undo, to the pixel."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from annotator import act, click, make, make_folder, mask_of, open_client
from starlette.testclient import TestClient

from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.region import Region
from saywhere.annotate.rings import fill_rings, outline_rings
from saywhere.core.geometry import ImageSize


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    folder = make_folder(tmp_path / "photos")
    (folder / ".saywhere").mkdir()
    database = Database(default_database_url(folder))
    annotator = make(folder, database)
    yield open_client(annotator)
    annotator.close()
    database.close()


def rectangle(left: float, top: float, right: float, bottom: float) -> list[tuple[float, float]]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


class TestRings:
    @pytest.mark.parametrize("seed", range(6))
    def test_an_outline_encloses_exactly_its_pixels(self, seed: int) -> None:
        rng, size = np.random.default_rng(seed), ImageSize(40, 50)
        mask = rng.random((30, 40)) < 0.1 + seed / 6
        if seed % 2:
            mask = cv2.blur(rng.random((30, 40)), (5, 5)) > 0.5
        region = Region(4, 7, mask)
        filled = fill_rings(outline_rings(region), size)
        assert (filled.to_image(size) == region.to_image(size)).all()

    def test_a_simplified_outline_keeps_holes_and_stays_near(self) -> None:
        size = ImageSize(200, 200)
        rows, columns = np.mgrid[:200, :200]
        distance = np.hypot(rows - 100, columns - 100)
        region = Region(0, 0, (distance < 80) & (distance > 40))
        rings = outline_rings(region, tolerance=1.5)
        assert len(rings) == 2
        assert max(len(ring) for ring in rings) < 40
        filled = fill_rings(rings, size).to_image(size)
        assert not filled[100, 100]
        assert (filled != region.mask).sum() < 0.03 * region.area
        assert (np.abs(distance - 60)[filled != region.mask] > 17).all()

    def test_pixels_whose_centres_are_inside(self) -> None:
        size = ImageSize(10, 10)
        filled = fill_rings([np.array(rectangle(1.4, 2.6, 4.6, 5.4))], size)
        assert (filled.left, filled.top, filled.mask.shape) == (1, 3, (2, 4))
        outside = fill_rings([np.array(rectangle(-5, -5, 99, 3))], size)
        assert outside.mask.shape == (3, 10)
        assert fill_rings([np.array(rectangle(20, 20, 30, 30))], size).area == 0

    def test_a_line_by_hand_may_overlap_itself(self) -> None:
        angle = np.linspace(0, 4.2 * np.pi, 90)
        loop = np.stack([50 + 30 * np.cos(angle), 40 + 20 * np.sin(angle)], axis=1)
        drawn = fill_rings([loop], ImageSize(90, 100), overlapping=True)
        assert drawn.area == pytest.approx(600 * np.pi, rel=0.01)


def test_a_lasso_adds_and_subtracts_and_stays_after_a_click(client: TestClient) -> None:
    act(client, 1, click(300, 200))
    square = rectangle(400, 100, 450, 160)
    added = act(client, 1, {"kind": "lasso", "object": 1, "paint": True, "points": square}).json()
    mask = mask_of(added, 1)
    assert mask[100:160, 400:450].all()
    assert mask[200, 300]
    cut = act(client, 1, {"kind": "lasso", "object": 1, "paint": False, "points": rectangle(290, 0, 310, 480)}).json()
    assert not mask_of(cut, 1)[:, 290:310].any()
    clicked = mask_of(act(client, 1, click(330, 200, object=1)).json(), 1)
    assert clicked[100:160, 400:450].all()
    assert not clicked[:, 290:310].any()
    act(client, 1, {"kind": "undo"})
    act(client, 1, {"kind": "undo"})
    state = client.get("/api/images/1").json()["state"]
    assert (mask_of(state, 1) == mask).all()
    redone = act(client, 1, {"kind": "redo"}).json()
    assert (mask_of(redone, 1) == mask_of(cut, 1)).all()


def test_a_lasso_begins_an_object(client: TestClient) -> None:
    state = act(client, 3, {"kind": "lasso", "paint": True, "points": rectangle(10, 10, 20, 30)}).json()
    assert state["objects"][0]["area"] == 200
    nothing = act(client, 3, {"kind": "lasso", "object": 1, "paint": True, "points": rectangle(-9, -9, -2, -2)})
    assert nothing.status_code == 422
    assert "go around" in nothing.json()["error"]


def test_holes_and_crumbs(client: TestClient) -> None:
    rings = [rectangle(100, 100, 200, 200), rectangle(120, 120, 124, 124), rectangle(150, 150, 170, 170)]
    crumbs = [rectangle(300, 300, 303, 303), rectangle(400, 300, 420, 320)]
    act(client, 3, {"kind": "polygon", "rings": [*rings, *crumbs]})
    filled = act(client, 3, {"kind": "holes", "object": 1, "smaller": 17}).json()
    assert mask_of(filled, 1)[121, 121]
    assert not mask_of(filled, 1)[160, 160]
    filled = act(client, 3, {"kind": "holes", "object": 1}).json()
    assert mask_of(filled, 1)[160, 160]
    again = act(client, 3, {"kind": "holes", "object": 1})
    assert (again.status_code, "no hole" in again.json()["error"]) == (422, True)
    dropped = act(client, 3, {"kind": "crumbs", "object": 1, "smaller": 10}).json()
    assert not mask_of(dropped, 1)[301, 301]
    assert mask_of(dropped, 1)[310, 410]
    dropped = act(client, 3, {"kind": "crumbs", "object": 1}).json()
    assert dropped["objects"][0]["area"] == 100 * 100
    assert act(client, 3, {"kind": "crumbs", "object": 1}).status_code == 422
    for _ in range(5):
        state = act(client, 3, {"kind": "undo"}).json()
    assert state["objects"] == []


def test_a_polygon_replaces_the_mask(client: TestClient) -> None:
    act(client, 1, click(300, 200))
    state = act(client, 1, {"kind": "polygon", "object": 1, "rings": [rectangle(0, 0, 100, 50)]}).json()
    mask = mask_of(state, 1)
    assert mask.sum() == mask[:50, :100].sum() == 5000
    assert mask_of(act(client, 1, {"kind": "undo"}).json(), 1)[200, 300]


def test_an_object_that_is_only_a_box(client: TestClient) -> None:
    state = act(client, 1, {"kind": "rectangle", "box": [-5, 20, 110.5, 80]}).json()
    (found,) = state["objects"]
    assert (found["rectangle"], found["mask"]) == ([0, 20, 110.5, 80], None)
    moved = act(client, 1, {"kind": "rectangle", "object": 1, "box": [10, 20, 60, 80]}).json()
    assert moved["objects"][0]["rectangle"] == [10, 20, 60, 80]
    assert act(client, 1, {"kind": "undo"}).json()["objects"] == [found]
    assert act(client, 1, {"kind": "rectangle", "box": [50, 20, 10, 80]}).status_code == 422


def test_order_of_overlaps(client: TestClient) -> None:
    for _ in range(3):
        act(client, 1, click(300, 200))

    def orders(action: dict[str, object]) -> list[int]:
        return [one["z_order"] for one in act(client, 1, action).json()["objects"]]

    assert orders({"kind": "order", "object": 1, "place": "front"}) == [1, 0, 0]
    assert orders({"kind": "order", "object": 2, "place": "front"}) == [1, 2, 0]
    assert orders({"kind": "order", "object": 2, "place": "back"}) == [1, -1, 0]
    assert orders({"kind": "undo"}) == [1, 2, 0]


def test_attributes(client: TestClient) -> None:
    act(client, 1, click(300, 200))

    def attributes(name: str, value: object) -> dict[str, object]:
        action = {"kind": "attribute", "object": 1, "name": name, "value": value}
        return act(client, 1, action).json()["objects"][0]["attributes"]

    assert attributes("occluded", True) == {"occluded": True}
    assert attributes("ripe", "half") == {"occluded": True, "ripe": "half"}
    assert attributes("age", 3) == {"occluded": True, "ripe": "half", "age": 3}
    assert attributes("occluded", None) == {"ripe": "half", "age": 3}
    assert act(client, 1, {"kind": "undo"}).json()["objects"][0]["attributes"]["occluded"] is True
    assert act(client, 1, {"kind": "attribute", "object": 1, "name": " ", "value": 1}).status_code == 422


def test_an_outline_with_its_holes(client: TestClient) -> None:
    rings = [rectangle(100, 100, 200, 200), rectangle(120, 120, 150, 160)]
    act(client, 3, {"kind": "polygon", "rings": rings})
    found = client.get("/api/images/3/objects/1/outline?tolerance=0.5").json()["rings"]
    assert sorted(sorted(map(tuple, ring)) for ring in found) == sorted(sorted(ring) for ring in rings)
    again = act(client, 3, {"kind": "polygon", "object": 1, "rings": found}).json()
    assert again["objects"][0]["area"] == 100 * 100 - 30 * 40
    act(client, 3, {"kind": "rectangle", "box": [1, 1, 9, 9]})
    assert client.get("/api/images/3/objects/2/outline").json() == {"rings": []}


def test_objects_are_copied_to_another_image(client: TestClient) -> None:
    label = client.post("/api/labels", json={"name": "ball"}).json()["id"]
    act(client, 1, click(300, 200, label=label))
    act(client, 1, {"kind": "attribute", "object": 1, "name": "ripe", "value": True})
    act(client, 1, {"kind": "rectangle", "box": [1, 2, 30, 40]})
    act(client, 1, {"kind": "order", "object": 1, "place": "front"})
    source = client.get("/api/images/1").json()["state"]
    copied = act(client, 3, {"kind": "copy", "image": 1}).json()
    assert (mask_of(copied, 1) == mask_of(source, 1)).all()
    for name in ("label", "attributes", "rectangle", "z_order", "area"):
        assert [one[name] for one in copied["objects"]] == [one[name] for one in source["objects"]], name
    assert act(client, 3, {"kind": "undo"}).json()["objects"] == []
    one = act(client, 3, {"kind": "copy", "image": 1, "objects": [2]}).json()
    assert [each["rectangle"] for each in one["objects"]] == [[1, 2, 30, 40]]
    assert "no object" in act(client, 3, {"kind": "copy", "image": 2}).json()["error"]


def test_clicks_refine_what_was_drawn_or_copied(client: TestClient) -> None:
    act(client, 1, {"kind": "polygon", "rings": [rectangle(280, 180, 320, 220)]})
    clicked = mask_of(act(client, 1, click(300, 200, object=1)).json(), 1)
    assert clicked[150, 300], "the network's mask, which began with the polygon's"
    act(client, 1, {"kind": "undo"})
    act(client, 2, {"kind": "copy", "image": 1})
    act(client, 2, click(180, 200, object=1))
    back = act(client, 2, {"kind": "undo"}).json()
    assert back["objects"][0]["area"] == 1600


def test_boxes_attributes_and_order_are_exported(client: TestClient) -> None:
    for _ in range(2):
        act(client, 1, click(300, 200))
    act(client, 1, {"kind": "order", "object": 1, "place": "front"})
    act(client, 1, {"kind": "attribute", "object": 2, "name": "ripe", "value": True})
    act(client, 1, {"kind": "rectangle", "box": [10, 20, 60, 80]})
    act(client, 1, {"kind": "mark", "value": "done"})

    def export(format: str) -> bytes:
        version = client.post("/api/exports", json={"format": format}).json()["version"]
        return client.get(f"/api/exports/{version}/file").content

    first, second, box = json.loads(export("coco"))["annotations"]
    assert "attributes" not in first
    assert second["attributes"] == {"ripe": True}
    assert box["bbox"] == [10, 20, 50, 60]
    assert not box.get("segmentation")
    with zipfile.ZipFile(io.BytesIO(export("png"))) as file:
        notes = file.read("notes.txt").decode()
    assert "are under other objects" in notes
