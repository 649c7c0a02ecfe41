"""Reviews, comments, assignments and disagreement: events with names and times, undone, exported, never lost."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest
from annotator import act, click, open_client
from starlette.testclient import TestClient

from saywhere.annotate.db.assignments import split_evenly
from saywhere.annotate.events import Event, EventHistory
from saywhere.annotate.review import Review, end_review, review_status


@pytest.fixture
def anna(annotator: Any) -> TestClient:
    client = open_client(annotator, name="page-of-anna")
    client.headers["X-Saywhere-Person"] = "Anna"
    return client


@pytest.fixture
def ben(annotator: Any) -> TestClient:
    client = open_client(annotator, name="page-of-ben")
    client.headers["X-Saywhere-Person"] = "Ben"
    return client


def do(client: TestClient, action: dict[str, Any], image: int = 1) -> dict[str, Any]:
    """Do an action, after taking the image's lock over, and leave the image."""
    client.post(f"/api/images/{image}/lock?take=true").raise_for_status()
    answer = act(client, image, action)
    client.delete(f"/api/images/{image}/lock").raise_for_status()
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: TestClient, action: dict[str, Any], image: int = 1) -> str:
    client.post(f"/api/images/{image}/lock?take=true").raise_for_status()
    answer = act(client, image, action)
    client.delete(f"/api/images/{image}/lock").raise_for_status()
    assert answer.status_code == 422
    return answer.json()["error"]


def approve(client: TestClient, image: int = 1) -> dict[str, Any]:
    return do(client, {"kind": "review", "verdict": "approved"}, image)


def reject(client: TestClient, comment: str = "the rim is missing", image: int = 1) -> dict[str, Any]:
    return do(client, {"kind": "review", "verdict": "rejected", "comment": comment}, image)


def row(client: TestClient, image: int = 1, **query: Any) -> dict[str, Any]:
    return next(one for one in client.get("/api/images", params=query).json()["images"] if one["id"] == image)


def annotate(client: TestClient, image: int = 1) -> None:
    do(client, click(300, 200) if image == 1 else click(180, 200), image)
    do(client, {"kind": "mark", "value": "done"}, image)


class TestApproval:
    def test_is_withdrawn_by_a_change_and_comes_back_with_its_undo(self, anna: TestClient, ben: TestClient) -> None:
        annotate(ben)
        assert row(ben)["review"] == "to-review"
        state = approve(anna)
        (review,) = state["reviews"]
        assert (state["review"], review["verdict"], review["person"]) == ("approved", "approved", "Anna")
        assert review["at"] > 0
        assert (row(ben)["review"], row(ben)["withdrawn"]) == ("approved", False)
        changed = do(ben, click(310, 200, object=1))
        assert (changed["review"], changed["state"]) == ("to-review", "done")
        assert changed["reviews"][0]["ended_by"] == "Ben"
        assert changed["reviews"][0]["ended_at"] >= review["at"]
        assert (row(ben)["review"], row(ben)["withdrawn"]) == ("to-review", True)
        assert do(ben, {"kind": "undo"})["review"] == "approved"
        assert row(ben)["withdrawn"] is False
        assert do(ben, {"kind": "redo"})["review"] == "to-review"

    def test_of_an_image_that_is_not_done_makes_it_done(self, anna: TestClient, ben: TestClient) -> None:
        do(ben, click(300, 200))
        assert approve(anna)["state"] == "done"
        assert do(ben, {"kind": "mark", "value": "done"})["review"] == "approved", "nothing changed"
        assert do(ben, {"kind": "mark", "value": "skipped"})["reviews"][0]["ended_by"] == "Ben"

    def test_is_not_withdrawn_by_comments(self, anna: TestClient, ben: TestClient) -> None:
        annotate(ben)
        approve(anna)
        assert do(ben, {"kind": "comment", "text": "thanks"})["review"] == "approved"


class TestRejection:
    def test_opens_the_image_and_says_why(self, anna: TestClient, ben: TestClient) -> None:
        annotate(ben)
        assert "say why" in refused(anna, {"kind": "review", "verdict": "rejected"})
        state = reject(anna)
        assert (state["review"], state["state"]) == ("rejected", "started")
        assert state["reviews"][-1]["comment"] == "the rim is missing"
        assert do(ben, click(310, 200, object=1))["review"] == "rejected", "until it is finished"
        done = do(ben, {"kind": "mark", "value": "done"})
        assert (done["review"], done["reviews"][-1]["ended_by"]) == ("to-review", "Ben")
        assert approve(anna)["review"] == "approved"
        assert [one["verdict"] for one in anna.get("/api/images/1").json()["state"]["reviews"]] == [
            "rejected", "approved",
        ]  # fmt: skip

    def test_is_undone_by_who_rejected_only(self, anna: TestClient, ben: TestClient) -> None:
        annotate(ben)
        reject(anna)
        assert "Anna reviewed the image, which only Anna takes back" in refused(ben, {"kind": "undo"})
        assert do(anna, {"kind": "undo"})["review"] == "to-review"
        assert do(anna, {"kind": "redo"})["review"] == "rejected"


class TestComments:
    def test_are_kept_with_name_and_object(self, anna: TestClient, ben: TestClient) -> None:
        annotate(ben)
        do(anna, {"kind": "comment", "text": "dark\nimage"})
        state = do(anna, {"kind": "comment", "text": "is this a ball?", "object": 1})
        assert [(one["text"], one["object"], one["person"]) for one in state["comments"]] == [
            ("dark\nimage", None, "Anna"), ("is this a ball?", 1, "Anna"),
        ]  # fmt: skip
        assert row(ben)["comments"] == 2
        number = state["comments"][0]["number"]
        assert do(ben, {"kind": "resolve", "comment": number})["comments"][0]["resolved"]
        assert row(ben)["comments"] == 1
        assert not do(ben, {"kind": "resolve", "comment": number, "resolved": False})["comments"][0]["resolved"]
        assert "settled a comment" in refused(anna, {"kind": "undo"})
        do(ben, {"kind": "delete", "object": 1})
        assert len(anna.get("/api/images/1").json()["state"]["comments"]) == 2, "nothing is lost with its object"

    def test_that_cannot_be_made(self, anna: TestClient) -> None:
        for action, part in (
            ({"kind": "comment", "text": "x", "object": 7}, "object 7"),
            ({"kind": "comment", "text": " "}, "text"),
            ({"kind": "resolve", "comment": 7}, "comment 7: there is none"),
            ({"kind": "review", "verdict": "good"}, "verdict"),
        ):
            assert part in refused(anna, action)


def test_reviews_are_replayed() -> None:
    events = [
        Event(1, "click", 1, {"x": 1, "y": 1, "positive": True, "radius": None}, person="Ben", at=1),
        Event(2, "review", None, {"verdict": "approved", "comment": None}, person="Anna", at=2),
        Event(3, "delete", 1, {}, person="Ben", at=3),
        Event(4, "undo", None, {}, person="Ben", at=4),
    ]
    assert EventHistory.replay(events[:3]).state.reviews == (Review("approved", "", "Anna", 2, "Ben", 3),)
    assert EventHistory.replay(events).state.review == "approved"
    assert end_review([], "approved", "Ben", 1) == ()
    assert review_status([Review("rejected", "x", "Anna", 1)], is_done=True) == "rejected"


class TestAssignment:
    def test_is_even_and_keeps_neighbours_together(self) -> None:
        shares = split_evenly(list(range(10)), ["a", "b", "c"])
        assert [list(shares.values()).count(name) for name in "abc"] == [4, 3, 3]
        assert list(shares.values()) == sorted(shares.values())

    def test_is_shown_undone_and_hinders_nobody(self, anna: TestClient, ben: TestClient) -> None:
        made = anna.post("/api/assignments", json={"images": [1, 2, 3], "persons": ["Anna", " Ben "]}).json()
        assert made["counts"] == {"Anna": 2, "Ben": 1}
        assert [row(ben, image)["assigned"] for image in (1, 2, 3)] == ["Anna", "Anna", "Ben"]
        do(ben, click(300, 200))
        again = anna.post("/api/assignments", json={"images": [2], "persons": []}).json()
        assert again["counts"] == {"Anna": 1, "Ben": 1}
        assert anna.post(f"/api/assignments/{made['change']}/undo").status_code == 409, "assigned anew since"
        assert anna.post(f"/api/assignments/{again['change']}/undo").json()["counts"] == {"Anna": 2, "Ben": 1}
        assert anna.post(f"/api/assignments/{again['change']}/redo").json()["counts"] == {"Anna": 1, "Ben": 1}
        same = anna.post("/api/assignments", json={"images": [1], "persons": ["Anna"]}).json()
        assert same["change"] is None

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"images": [99], "persons": ["Anna"]}, 404),
            ({"images": [], "persons": ["Anna"]}, 422),
            ({"images": [1, 1], "persons": ["Anna"]}, 422),
            ({"images": [1], "persons": ["Anna", "anna "]}, 422),
            ({"images": [1], "persons": ["\u0000"]}, 422),
            ({"images": [1], "persons": ["\u00a0"]}, 422),
        ],
    )
    def test_that_cannot_be_made(self, anna: TestClient, body: dict[str, Any], status: int) -> None:
        answer = anna.post("/api/assignments", json=body)
        assert (answer.status_code, bool(answer.json()["error"])) == (status, True)
        assert row(anna)["assigned"] is None
        assert anna.post("/api/assignments/7/undo").status_code == 404


class TestDisagreement:
    def test_is_what_was_changed_of_the_proposed_mask(self, anna: TestClient) -> None:
        do(anna, click(180, 200), 2)
        assert row(anna, 2)["disagreement"] is None, "not asked for"
        assert row(anna, 2, disagreement=True)["disagreement"] == 0
        state = anna.get("/api/images/2").json()["state"]
        area = state["objects"][0]["area"]
        ring = [(400, 20), (440, 20), (440, 40), (400, 40)]
        do(anna, {"kind": "lasso", "object": 1, "paint": True, "points": ring}, 2)
        added = anna.get("/api/images/2").json()["state"]["objects"][0]["area"] - area
        expected = added / (area + added)
        assert row(anna, 2, disagreement=True)["disagreement"] == pytest.approx(expected, abs=1e-3)
        do(anna, {"kind": "undo"}, 2)
        assert row(anna, 2, disagreement=True)["disagreement"] == 0

    def test_of_what_was_drawn_by_hand_there_is_none(self, anna: TestClient) -> None:
        ring = [(10, 10), (40, 10), (40, 40)]
        do(anna, {"kind": "polygon", "rings": [ring]}, 3)
        assert row(anna, 3, disagreement=True)["disagreement"] is None


class TestExport:
    def test_of_approved_images_says_what_is_left_out(self, anna: TestClient, ben: TestClient) -> None:
        for image in (1, 2):
            annotate(ben, image)
        approve(anna, 1)
        exported = anna.get("/api/export", params={"approved": True}).json()
        assert [one["file_name"] for one in exported["images"]] == ["a-one.png"]
        assert "left out: 1 image done and not approved, with 1 object" in exported["info"]["notes"]
        assert exported["info"]["manifest"]["options"]["only_approved"] is True
        preview = anna.get("/api/export/preview", params={"approved": True}).json()
        assert (preview["images"], len(preview["left_out"])) == (1, 2)
        made = anna.post("/api/exports", json={"format": "png", "approved": True}).json()
        content = anna.get(f"/api/exports/{made['version']}/file").content
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            assert "not approved" in file.read("notes.txt").decode()
        do(ben, click(310, 200, object=1))
        assert anna.get("/api/export/preview", params={"approved": True}).json()["images"] == 0, "withdrawn"
        assert len(json.loads(anna.get("/api/export").text)["images"]) == 2
