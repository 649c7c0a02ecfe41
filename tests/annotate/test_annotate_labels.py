"""Labels: created, renamed, merged and deleted with undo; what is said is the label; done images stay done."""

from __future__ import annotations

from typing import Any

from annotator import act, click
from starlette.testclient import TestClient

from saywhere.annotate.service import Annotator


def add(client: TestClient, name: str) -> dict[str, Any]:
    answer = client.post("/api/labels", json={"name": name})
    answer.raise_for_status()
    return answer.json()


def names(client: TestClient) -> list[str]:
    return [label["name"] for label in client.get("/api/project").json()["labels"]]


def label_of(client: TestClient, image: int, object: int) -> int | None:
    objects = client.get(f"/api/images/{image}").json()["state"]["objects"]
    return next(one["label"] for one in objects if one["id"] == object)


def undo(client: TestClient, changed: dict[str, Any], way: str = "undo") -> int:
    return client.post(f"/api/labels/changes/{changed['change']}/{way}").status_code


class TestNames:
    def test_spaces_and_capitals_make_no_second_label(self, client: TestClient) -> None:
        bottle = add(client, "bottle")
        for name in ("Bottle ", "  bottle", "BOTTLE"):
            assert add(client, name)["id"] == bottle["id"]
        assert names(client) == ["bottle"]

    def test_a_new_name_is_trimmed_and_must_be_free(self, client: TestClient) -> None:
        cup, cat = add(client, "cup"), add(client, "cat")
        changed = client.patch(f"/api/labels/{cup['id']}", json={"name": "  big   cup "}).json()
        assert changed["name"] == "big cup"
        taken = client.patch(f"/api/labels/{cat['id']}", json={"name": "Big Cup"})
        assert taken.status_code == 409
        assert "merge" in taken.json()["error"]
        assert client.patch(f"/api/labels/{cat['id']}", json={"name": "Cat"}).json()["name"] == "Cat"


class TestUndo:
    def test_of_every_change(self, client: TestClient) -> None:
        cup = add(client, "cup")
        path = f"/api/labels/{cup['id']}"
        changes = [
            cup,
            client.patch(path, json={"name": "mug"}).json(),
            client.patch(path, json={"colour": "#123456"}).json(),
            client.delete(path).json(),
        ]
        seen = [["cup"], ["mug"], ["mug"], []]
        assert names(client) == []
        for change, expected in zip(reversed(changes), [*reversed(seen[:-1]), []], strict=True):
            assert undo(client, change) == 200
            assert names(client) == expected
        for change, expected in zip(changes, seen, strict=True):
            assert undo(client, change, "redo") == 200
            assert names(client) == expected

    def test_of_what_was_changed_since_is_refused(self, client: TestClient) -> None:
        cup = add(client, "cup")
        mug = client.patch(f"/api/labels/{cup['id']}", json={"name": "mug"}).json()
        assert undo(client, cup) == 409
        assert undo(client, mug, "redo") == 409
        assert undo(client, mug) == 200
        assert undo(client, mug) == 409
        assert client.post("/api/labels/changes/999/undo").status_code == 404

    def test_of_a_deletion_whose_name_is_taken_is_refused(self, client: TestClient) -> None:
        deleted = client.delete(f"/api/labels/{add(client, 'cup')['id']}").json()
        add(client, "cup")
        assert undo(client, deleted) == 409
        assert names(client) == ["cup"]


class TestObjects:
    def test_of_a_merged_label_have_the_other_one(self, client: TestClient, annotator: Annotator) -> None:
        cup, mug = add(client, "cup"), add(client, "mug")
        act(client, 1, click(300, 200, label=cup["id"])).raise_for_status()
        act(client, 2, click(180, 200, label=mug["id"])).raise_for_status()
        merged = client.post(f"/api/labels/{mug['id']}/merge", json={"into": cup["id"]}).json()
        assert names(client) == ["cup"]
        assert label_of(client, 2, 1) == cup["id"]
        assert client.get(f"/api/labels/{cup['id']}/usage").json() == {"images": 2, "objects": 2}
        categories = {one["name"] for one in client.get("/api/export").json()["categories"]}
        assert categories == {"cup"}
        assert [row["label"] for row in client.get("/api/stats").json()["objects"]] == ["cup", "cup"]
        add(client, "mug")
        assert label_of(client, 2, 1) == cup["id"], "a new label of the old name is another one"
        assert undo(client, merged) == 409
        assert client.post(f"/api/labels/{cup['id']}/merge", json={"into": cup["id"]}).status_code == 422

    def test_get_their_label_back(self, client: TestClient) -> None:
        cup, mug = add(client, "cup"), add(client, "mug")
        act(client, 1, click(300, 200, label=mug["id"])).raise_for_status()
        merged = client.post(f"/api/labels/{mug['id']}/merge", json={"into": cup["id"]}).json()
        assert undo(client, merged) == 200
        assert label_of(client, 1, 1) == mug["id"]
        deleted = client.delete(f"/api/labels/{mug['id']}").json()
        assert label_of(client, 1, 1) is None
        assert act(client, 1, click(310, 200, object=1)).json()["objects"][0]["label"] is None
        assert act(client, 1, click(20, 20, label=mug["id"])).status_code == 422
        assert undo(client, deleted) == 200
        assert label_of(client, 1, 1) == mug["id"]


class TestWhatIsSaid:
    def test_sets_the_label(self, client: TestClient) -> None:
        cup, cat = add(client, "cup"), add(client, "cat")
        said = act(client, 1, {"kind": "phrase", "text": " Cup", "label": cat["id"]}).json()
        assert said["objects"][0]["label"] == cup["id"]
        act(client, 1, {"kind": "phrase", "text": "cat", "object": 1}).raise_for_status()
        assert label_of(client, 1, 1) == cat["id"]
        act(client, 1, {"kind": "phrase", "text": "left one", "object": 1}).raise_for_status()
        assert label_of(client, 1, 1) == cat["id"]
        act(client, 1, {"kind": "undo"}).raise_for_status()
        act(client, 1, {"kind": "undo"}).raise_for_status()
        assert label_of(client, 1, 1) == cup["id"]


class TestDone:
    def test_stays_done_when_it_is_corrected(self, client: TestClient) -> None:
        act(client, 2, click(180, 200)).raise_for_status()
        act(client, 2, {"kind": "mark", "value": "done"}).raise_for_status()
        assert act(client, 2, click(185, 200, object=1)).json()["state"] == "done"
        assert act(client, 2, click(460, 280)).json()["state"] == "done"
        assert act(client, 2, {"kind": "undo"}).json()["state"] == "done"
        assert act(client, 2, {"kind": "delete", "object": 1}).json()["state"] == "new", "it has no object any more"
        assert act(client, 2, {"kind": "undo"}).json()["state"] == "done"

    def test_a_skipped_image_is_open_again(self, client: TestClient) -> None:
        act(client, 2, {"kind": "mark", "value": "skipped"}).raise_for_status()
        assert act(client, 2, click(180, 200)).json()["state"] == "started"
