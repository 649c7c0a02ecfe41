"""Projects on disk: a database that version 0.1 wrote opens as it was and can be continued.

``data/project-0.1.sql`` is a dump of such a database, with the folder's place in it as @FOLDER@;
``data/project-0.1.json`` is what that version answered for it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from annotator import act, click, make, make_folder, open_client
from starlette.testclient import TestClient

from saywhere.annotate.db.database import Database, default_database_url

DATA = Path(__file__).parent / "data"
# What later versions say of an object besides.
ADDED = {"box": None, "choices": 0, "candidates": {"indices": [], "position": 0}} | {
    "rectangle": None, "z_order": 0, "attributes": {}, "locked": False,
}  # fmt: skip
ADDED_FIGURES = {"boxes": 0, "choices": 0}
ADDED_COLUMNS = {"first_seconds", "first_click_distance"}


@pytest.fixture
def expected() -> dict[str, Any]:
    content = json.loads((DATA / "project-0.1.json").read_text())
    for state in content["states"]:
        state["objects"] = [one | ADDED for one in state["objects"]]
        state["note"] = None
        state |= {"review": "to-review" if state["state"] == "done" else None, "reviews": [], "comments": []}
    content["project"]["labels"] = [one | {"attributes": []} for one in content["project"]["labels"]]
    content["objects"] = [one | ADDED_FIGURES for one in content["objects"]]
    return content


def as_before(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Objects without their interactions, which must have the clicks in order."""
    for one in objects:
        clicks = [each for each in one.pop("interactions") if each["kind"] == "click"]
        assert [{name: each[name] for name in ("x", "y", "positive", "radius")} for each in clicks] == one["clicks"]
    return objects


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    folder = make_folder(tmp_path / "photos")
    url = default_database_url(folder)
    Path(str(url.database)).parent.mkdir()
    dump = (DATA / "project-0.1.sql").read_text().replace("@FOLDER@", str(folder.resolve()))
    connection = sqlite3.connect(str(url.database))
    connection.executescript(dump)
    connection.close()
    database = Database(url)
    annotator = make(folder, database)
    yield open_client(annotator)
    annotator.close()
    database.close()


def test_every_image_opens_as_it_was(client: TestClient, expected: dict[str, Any]) -> None:
    images = client.get("/api/images").json()
    for image in images["images"]:
        assert sum(image.pop("labels").values()) == image["objects"]
        assert (image.pop("at") > 0) == (image["state"] != "new")
        assert image.pop("expected_iou") is None or image["objects"] > 0
        assert image.pop("review") == ("to-review" if image["state"] == "done" else None)
        assert [image.pop(name) for name in ("withdrawn", "comments", "assigned", "disagreement")] == [
            False, 0, None, None,
        ]  # fmt: skip
    assert images == expected["images"]
    assert client.get("/api/project").json()["labels"] == expected["project"]["labels"]
    for image, state in enumerate(expected["states"], 1):
        found = client.get(f"/api/images/{image}").json()["state"]
        assert {**found, "objects": as_before(found["objects"])} == state


def test_export_and_statistics_are_the_same(client: TestClient, expected: dict[str, Any]) -> None:
    exported = client.get("/api/export", params={"done": False}).json()
    images, annotations = (expected["export"][key] for key in ("images", "annotations"))
    # An image that was only opened was a negative in that version.
    annotated = {each["image_id"] for each in annotations}
    assert [each["file_name"] for each in exported["images"]] == [
        each["file_name"] for each in images if each["id"] in annotated
    ]
    assert exported["annotations"] == annotations
    assert exported["categories"] == expected["export"]["categories"]
    rows = client.get("/api/stats").json()["objects"]
    assert [{name: row[name] for name in one} for row, one in zip(rows, expected["objects"], strict=True)] == expected[
        "objects"
    ]
    assert all(row.keys() - expected["objects"][0].keys() == ADDED_COLUMNS for row in rows)


def test_annotation_continues(client: TestClient, expected: dict[str, Any]) -> None:
    for image in (1, 2):  # the old page may still hold its lock
        client.post(f"/api/images/{image}/lock?take=true").raise_for_status()
    assert act(client, 2, {"kind": "redo"}).json()["objects"][1]["phrase"] is None
    assert as_before(act(client, 2, {"kind": "undo"}).json()["objects"]) == expected["states"][1]["objects"]
    answer = act(client, 1, click(310, 210, object=1)).json()
    assert answer["seq"] == expected["states"][0]["seq"] + 1
    assert answer["state"] == "done", "a correction leaves it done; version 0.1 opened it again"
