"""Locked objects: the server refuses to change or delete them; locking is an event, with undo."""

from __future__ import annotations

from typing import Any

import pytest
from annotator import act, click
from starlette.testclient import TestClient


@pytest.fixture
def locked(client: TestClient) -> TestClient:
    act(client, 2, click(180, 200)).raise_for_status()
    act(client, 2, click(460, 280)).raise_for_status()
    answer = act(client, 2, {"kind": "lock", "object": 1, "locked": True})
    assert [one["locked"] for one in answer.json()["objects"]] == [True, False]
    return client


SQUARE = [(10, 10), (40, 10), (40, 40)]


@pytest.mark.parametrize(
    "action",
    [
        click(185, 200),
        {"kind": "delete"},
        {"kind": "label", "label": None},
        {"kind": "order", "place": "front"},
        {"kind": "attribute", "name": "colour", "value": "red"},
        {"kind": "threshold", "value": 0.4},
        {"kind": "holes"},
        {"kind": "crumbs"},
        {"kind": "lasso", "paint": True, "points": SQUARE},
        {"kind": "polygon", "rings": [SQUARE]},
        {"kind": "brush", "paint": True, "radius": 4, "points": [(10, 10)]},
        {"kind": "rectangle", "box": [1, 1, 9, 9]},
        {"kind": "phrase", "text": "ball"},
    ],
    ids=lambda action: action["kind"],
)
def test_nothing_is_done_to_it(locked: TestClient, action: dict[str, Any]) -> None:
    before = locked.get("/api/images/2").json()["state"]
    answer = act(locked, 2, action | {"object": 1})
    assert answer.status_code == 422
    assert f"{action['kind']}: object 1 is locked; unlock it first" in answer.json()["error"]
    assert locked.get("/api/images/2").json()["state"] == before
    if "object" in action or action["kind"] in ("click", "brush", "phrase"):
        assert act(locked, 2, action | {"object": 2}).status_code == 200, "others are free"


def test_it_is_unlocked_undone_and_commented(locked: TestClient) -> None:
    act(locked, 2, {"kind": "comment", "text": "right?", "object": 1}).raise_for_status()
    act(locked, 2, {"kind": "undo"}).raise_for_status()
    state = act(locked, 2, {"kind": "undo"}).json()
    assert state["objects"][0]["locked"] is False
    state = act(locked, 2, {"kind": "redo"}).json()
    assert state["objects"][0]["locked"] is True
    act(locked, 2, {"kind": "lock", "object": 1, "locked": False}).raise_for_status()
    act(locked, 2, {"kind": "delete", "object": 1}).raise_for_status()


def test_a_lock_changes_no_annotation(locked: TestClient) -> None:
    act(locked, 2, {"kind": "review", "verdict": "approved"}).raise_for_status()
    state = act(locked, 2, {"kind": "lock", "object": 2, "locked": True}).json()
    assert (state["review"], state["state"], state["active"]) == ("approved", "done", 2)
    assert act(locked, 2, {"kind": "lock", "object": 9, "locked": True}).status_code == 422
