"""All instances of a label: proposed with masks, accepted together, undone together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from annotator import act, make, mask_of, open_client, picture
from PIL import Image
from pycocotools import mask as coco

from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.events import Event, EventHistory

DISCS = [(120, 120, 50), (320, 330, 60), (520, 140, 55)]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(picture(DISCS)).save(folder / "a.png")
    annotator = make(folder, Database(default_database_url(folder)))
    with open_client(annotator) as client:
        client.post("/api/labels", json={"name": "ball"})
        yield client
    annotator.close()


class TestJoinedEvents:
    def events(self, count: int) -> list[Event]:
        data = {"x": 1.0, "y": 2.0, "radius": None, "box": None, "phrase": "ball", "label": 1}
        return [
            Event(n, "instance", n, {**data, **({"joined": True} if n > 1 else {})}, masked=True)
            for n in range(1, count + 1)
        ]

    def test_one_undo_takes_back_all_events_of_an_action(self) -> None:
        before = EventHistory.replay(self.events(3))
        undone = before.extended([Event(4, "undo", None, {})])
        assert (len(before.state.objects), len(undone.state.objects)) == (3, 0)
        assert not undone.state.can_undo
        redone = undone.extended([Event(5, "redo", None, {})])
        assert redone.state.objects == before.state.objects
        assert not redone.state.can_redo

    def test_more_events_than_states_are_kept_are_undone_together(self) -> None:
        after = EventHistory.replay([*self.events(100), Event(101, "undo", None, {})])
        assert after.state.objects == {}
        assert after.state.next_id == 101, "no number is given twice"

    def test_the_action_before_stays(self) -> None:
        first, *others = self.events(3)
        single = Event(1, "instance", 1, first.data, masked=True)
        again = [Event(n + 1, e.kind, e.object, e.data, True) for n, e in enumerate(others, 1)]
        again[0] = Event(2, "instance", 2, first.data, masked=True)
        after = EventHistory.replay([single, *again, Event(4, "undo", None, {})])
        assert list(after.state.objects) == [1]


class TestAccepting:
    def action(self, count: int = 3, **more: object) -> dict[str, object]:
        instances = [{"x": x, "y": y, "phrase": "Ball", **more} for x, y, _ in DISCS[:count]]
        return {"kind": "instances", "instances": instances}

    def test_each_becomes_an_object_with_its_mask(self, client: httpx.Client) -> None:
        answer = act(client, 1, self.action()).json()
        assert [one["label"] for one in answer["objects"]] == [1, 1, 1]
        for one, (x, y, _) in zip(answer["objects"], DISCS, strict=True):
            assert mask_of(answer, one["id"])[y, x]
        assert answer["seq"] == 3

    def test_one_undo_for_all_and_clicks_refine_one(self, client: httpx.Client) -> None:
        act(client, 1, self.action())
        clicked = act(client, 1, {"kind": "click", "x": 100, "y": 120, "object": 1}).json()
        assert len(clicked["objects"][0]["clicks"]) == 2
        act(client, 1, {"kind": "undo"})
        undone = act(client, 1, {"kind": "undo"}).json()
        assert undone["objects"] == []
        assert len(act(client, 1, {"kind": "redo"}).json()["objects"]) == 3

    def test_they_count_as_proposed(self, client: httpx.Client) -> None:
        act(client, 1, self.action(2))
        rows = client.get("/api/stats").json()["objects"]
        assert [(row["proposed"], row["interactions"]) for row in rows] == [(1, 1), (1, 1)]

    def test_a_request_sent_again_is_not_done_twice(self, client: httpx.Client) -> None:
        body = {"key": "the-same-key", "base": 0, "action": self.action()}
        first, second = (client.post("/api/images/1/events", json=body).json() for _ in range(2))
        assert first["seq"] == second["seq"] == 3
        assert len(second["objects"]) == 3

    def test_what_cannot_be_stored_leaves_nothing(self, client: httpx.Client) -> None:
        outside = {"kind": "instances", "instances": [{"x": 120, "y": 120}, {"x": 5000, "y": 120}]}
        assert act(client, 1, outside).status_code == 422
        assert act(client, 1, self.action(label=77)).status_code == 422
        assert client.get("/api/images/1").json()["state"]["objects"] == []


class TestProposing:
    def found(self, client: httpx.Client, **query: object) -> list[dict[str, object]]:
        answer = client.get("/api/images/1/instances", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()["instances"]

    def test_every_object_of_a_phrase_with_its_mask(self, client: httpx.Client) -> None:
        found = self.found(client, phrase="ball")
        assert len(found) == len(DISCS)
        for x, y, _ in DISCS:
            assert sum(bool(coco.decode(one["mask"])[y, x]) for one in found) == 1
        assert all(0.45 <= one["score"] <= 1 for one in found)

    def test_what_is_accepted_is_what_was_shown(self, client: httpx.Client) -> None:
        (first, *_) = self.found(client, phrase="ball")
        prompt = {name: first[name] for name in ("x", "y", "radius", "box")}
        answer = act(client, 1, {"kind": "instances", "instances": [{**prompt, "phrase": "ball"}]}).json()
        assert np.array_equal(mask_of(answer, 1), coco.decode(first["mask"]).astype(bool))

    def test_objects_that_are_there_are_not_proposed_again(self, client: httpx.Client) -> None:
        act(client, 1, {"kind": "click", "x": 120, "y": 120, "label": 1})
        assert len(self.found(client, label=1)) == 2
        other = client.post("/api/labels", json={"name": "marble"}).json()["id"]
        assert len(self.found(client, label=other)) == 2, "an object of another label is the same object"

    def test_a_search_needs_something_to_look_for(self, client: httpx.Client) -> None:
        assert client.get("/api/images/1/instances").status_code == 422
        assert client.get("/api/images/1/instances", params={"label": 99}).status_code == 422
        assert self.found(client, label=1, background=True) != []
