"""Undo for everything: each thing that a person can do is done, one after another; all is undone and done again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from annotator import PartsRuntime, act, click, make, make_folder_with_parts, open_client
from starlette.testclient import TestClient

from saywhere.annotate import actions
from saywhere.annotate.db.database import Database, default_database_url

SQUARE = [(400, 20), (460, 20), (460, 60), (400, 60)]
LEFT = [100, 120, 340, 360]
# In an order in which each of them changes something: 1 is the left group of discs, 2 the right one.
ACTIONS: list[dict[str, Any]] = [
    click(220, 240, label=1),
    {"kind": "candidate", "object": 1, "index": 0},
    click(220, 150, object=1, positive=False),
    click(300, 240, object=1, radius=12.5),
    {"kind": "threshold", "object": 1, "value": 0.4},
    {"kind": "label", "object": 1, "label": None},
    {"kind": "phrase", "object": 1, "text": "wheel"},
    {"kind": "phrase", "object": 1, "text": None},
    {"kind": "brush", "object": 1, "paint": True, "radius": 12, "points": [(560, 40), (600, 60)]},
    {"kind": "brush", "object": 1, "paint": False, "radius": 9, "points": [(580, 50)]},
    {"kind": "lasso", "object": 1, "paint": True, "points": SQUARE},
    {"kind": "lasso", "object": 1, "paint": False, "points": [(430, 30), (450, 30), (450, 50), (430, 50)]},
    {"kind": "holes", "object": 1},
    {"kind": "crumbs", "object": 1},
    {"kind": "attribute", "object": 1, "name": "worn", "value": True},
    {"kind": "attribute", "object": 1, "name": "worn", "value": None},
    {"kind": "box", "box": [410, 150, 590, 330], "label": 1},
    {"kind": "box", "object": 2, "box": [400, 140, 600, 340]},
    {"kind": "order", "object": 1, "place": "front"},
    {"kind": "order", "object": 2, "place": "back"},
    {"kind": "polygon", "rings": [[(20, 20), (80, 20), (80, 70)]], "label": 1},
    {"kind": "polygon", "object": 3, "rings": [[(20, 20), (90, 20), (90, 90)]]},
    {"kind": "rectangle", "box": [30, 380, 90, 450]},
    {"kind": "rectangle", "object": 4, "box": [30, 380, 120, 450]},
    {"kind": "instances", "instances": [{"x": 500, "y": 240, "box": [410, 150, 590, 330]}, {"x": 220, "y": 240}]},
    {"kind": "copy", "image": 2},
    {"kind": "lock", "object": 1, "locked": True},
    {"kind": "lock", "object": 1, "locked": False},
    {"kind": "delete", "object": 1},
    {"kind": "comment", "text": "is this all?"},
    {"kind": "resolve", "comment": 1},
    {"kind": "mark", "value": "skipped"},
    {"kind": "mark", "value": "open"},
    {"kind": "mark", "value": "done"},
    {"kind": "review", "verdict": "rejected", "comment": "one is missing"},
    {"kind": "review", "verdict": "approved"},
    click(20, 300),
]  # fmt: skip
CHANGING = {"seq", "can_undo", "can_redo"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Two images, on the second of which an object is, and one label."""
    folder = make_folder_with_parts(tmp_path / "images", 2)
    database = Database(default_database_url(folder))
    made = make(folder, database, runtime=PartsRuntime())
    client = open_client(made)
    client.post("/api/labels", json={"name": "wheel"}).raise_for_status()
    act(client, 2, click(220, 240, label=1)).raise_for_status()
    yield client
    made.close()
    database.close()


def state(client: TestClient, image: int = 1) -> dict[str, Any]:
    """An image's state with all its masks."""
    return {
        name: value
        for name, value in client.get(f"/api/images/{image}").json()["state"].items()
        if name not in CHANGING
    }


def comment_number(client: TestClient) -> int:
    return client.get("/api/images/1").json()["state"]["comments"][0]["number"]


def test_every_action_is_undone_and_redone_exactly(client: TestClient) -> None:
    kinds = {get_args(each.model_fields["kind"].annotation)[0] for each in get_args(get_args(actions.Action)[0])}
    assert {each["kind"] for each in ACTIONS} == kinds - {"undo", "redo"}, "what is new belongs here, too"
    states = [state(client)]
    for action in ACTIONS:
        if action["kind"] == "resolve":
            action = action | {"comment": comment_number(client)}
        answer = act(client, 1, action)
        assert answer.status_code == 200, (action, answer.text)
        states.append(state(client))
        assert states[-1] != states[-2], action
    for action, before in zip(reversed(ACTIONS), reversed(states[:-1]), strict=True):
        act(client, 1, {"kind": "undo"}).raise_for_status()
        assert state(client) == before, action
    assert not client.get("/api/images/1").json()["state"]["can_undo"]
    for action, after in zip(ACTIONS, states[1:], strict=True):
        act(client, 1, {"kind": "redo"}).raise_for_status()
        assert state(client) == after, action


ATTRIBUTE = {"name": "worn", "kind": "flag"}
CHANGES: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/api/labels", {"name": "spoke"}),
    ("PATCH", "/api/labels/1", {"name": "tyre"}),
    ("PATCH", "/api/labels/1", {"colour": "#123456", "key": "7"}),
    ("PATCH", "/api/labels/1", {"attributes": [ATTRIBUTE]}),
    ("PATCH", "/api/labels/1", {"attributes": [ATTRIBUTE | {"name": "old", "renamed_from": "worn"}]}),
    ("POST", "/api/labels/1/merge", {"into": 2}),
    ("DELETE", "/api/labels/2", None),
    ("POST", "/api/assignments", {"images": [1, 2], "persons": ["Anna", "Ben"]}),
    ("POST", "/api/assignments", {"images": [1], "persons": []}),
]


def test_every_change_of_labels_and_assignments_is_undone_and_redone_exactly(client: TestClient) -> None:
    def everything() -> list[Any]:
        assigned = [image["assigned"] for image in client.get("/api/images").json()["images"]]
        return [client.get("/api/project").json()["labels"], assigned, state(client, 1), state(client, 2)]

    act(client, 2, {"kind": "attribute", "object": 1, "name": "worn", "value": True}).raise_for_status()
    states, undone = [everything()], []
    for method, path, content in CHANGES:
        answer = client.request(method, path, json=content)
        assert answer.is_success, (path, content, answer.text)
        number = answer.json()["change"]
        undone.append(f"/api/assignments/{number}" if "assignments" in path else f"/api/labels/changes/{number}")
        states.append(everything())
        assert states[-1] != states[-2], (method, path, content)
    for change, before in zip(reversed(undone), reversed(states[:-1]), strict=True):
        client.post(f"{change}/undo").raise_for_status()
        assert everything() == before, change
    for change, after in zip(undone, states[1:], strict=True):
        client.post(f"{change}/redo").raise_for_status()
        assert everything() == after, change
