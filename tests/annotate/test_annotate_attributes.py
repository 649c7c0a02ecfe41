"""Attributes by label: defined, changed and undone; checked values; renamed ones keep their values; in and out."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from annotator import act, click
from starlette.testclient import TestClient

from saywhere.annotate.attributes import AttributeDefinition, current_values, redefined, with_defaults
from saywhere.errors import SaywhereError

COLOUR: dict[str, Any] = {"name": "colour", "kind": "choice", "values": ["red", "green"], "default": "red"}
WET: dict[str, Any] = {"name": "wet", "kind": "flag"}
AGE: dict[str, Any] = {"name": "age", "kind": "number"}
NOTE: dict[str, Any] = {"name": "note", "kind": "text"}


def add(client: TestClient, *attributes: dict[str, Any], name: str = "cup") -> dict[str, Any]:
    answer = client.post("/api/labels", json={"name": name, "attributes": list(attributes)})
    answer.raise_for_status()
    return answer.json()


def define(client: TestClient, label: int, *attributes: dict[str, Any]) -> dict[str, Any]:
    answer = client.patch(f"/api/labels/{label}", json={"attributes": list(attributes)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def say(client: TestClient, name: str, value: object, image: int = 1) -> Any:
    return act(client, image, {"kind": "attribute", "object": 1, "name": name, "value": value})


def values(client: TestClient, image: int = 1) -> dict[str, Any]:
    return client.get(f"/api/images/{image}").json()["state"]["objects"][0]["attributes"]


class TestDefinitions:
    @pytest.mark.parametrize(
        ("attributes", "part"),
        [
            ([{"name": "colour", "kind": "choice"}], "needs values"),
            ([{"name": "colour", "kind": "choice", "values": ["red", "red "]}], "each once"),
            ([COLOUR | {"default": "blue"}], "'blue' is not one of red, green"),
            ([AGE | {"default": "old"}], "'old' is no number"),
            ([AGE | {"default": True}], "True is no number"),
            ([WET | {"default": "yes"}], "neither true nor false"),
            ([NOTE | {"values": ["a"]}], "only a choice"),
            ([WET, WET | {"name": "Wet"}], "two have this name"),
            ([WET | {"renamed_from": "dry"}], "no attribute 'dry'"),
            ([{"name": "x", "kind": "date"}], "kind"),
        ],
    )
    def test_that_cannot_be_used_are_refused_in_one_line(
        self, client: TestClient, attributes: list[dict[str, Any]], part: str
    ) -> None:
        label = add(client, NOTE)
        for answer in (
            client.patch(f"/api/labels/{label['id']}", json={"attributes": attributes, "name": "mug"}),
            client.post("/api/labels", json={"name": "mug", "attributes": attributes}),
        ):
            assert answer.status_code == 422
            assert part in answer.json()["error"]
            assert "\n" not in answer.json()["error"]
        (kept,) = client.get("/api/project").json()["labels"]
        assert (kept["name"], [one["name"] for one in kept["attributes"]]) == ("cup", ["note"]), "nothing is changed"

    def test_are_undone_and_done_again_with_the_label(self, client: TestClient) -> None:
        label = add(client, COLOUR)
        changed = client.patch(f"/api/labels/{label['id']}", json={"name": "mug", "attributes": [WET]}).json()
        assert [one["name"] for one in changed["attributes"]] == ["wet"]

        def step(change: int, way: str) -> None:
            client.post(f"/api/labels/changes/{change}/{way}").raise_for_status()

        step(changed["change"], "undo")
        (label_now,) = client.get("/api/project").json()["labels"]
        assert (label_now["name"], label_now["attributes"]) == ("cup", [COLOUR])
        step(label["change"], "undo")
        assert client.get("/api/project").json()["labels"] == []
        step(label["change"], "redo")
        step(changed["change"], "redo")
        (label_now,) = client.get("/api/project").json()["labels"]
        assert [one["name"] for one in label_now["attributes"]] == ["wet"]
        assert define(client, label["id"], WET)["change"] is None, "nothing to change"

    def test_survive_a_change_of_an_earlier_version(self, client: TestClient, annotator: Any) -> None:
        from saywhere.annotate.db.tables import LabelChangeRow

        label = add(client)
        with annotator.store.database.write_session() as session:
            row = session.get(LabelChangeRow, label["change"])
            row.after = {name: value for name, value in row.after.items() if name != "attributes"}
        client.post(f"/api/labels/changes/{label['change']}/undo").raise_for_status()
        assert client.get("/api/project").json()["labels"] == []


class TestValues:
    def test_are_checked(self, client: TestClient) -> None:
        label = add(client, COLOUR, WET, AGE, NOTE)
        act(client, 1, click(300, 200, label=label["id"])).raise_for_status()
        for name, value, part in (
            ("colour", "pink", "'pink' is not one of red, green"),
            ("wet", "yes", "neither true nor false"),
            ("age", "3", "is no number"),
            ("note", 3, "is no text"),
        ):
            answer = say(client, name, value)
            assert answer.status_code == 422
            assert part in answer.json()["error"]
        for name, value in (("colour", "green"), ("wet", True), ("age", 3), ("note", "new"), ("free", "any")):
            say(client, name, value).raise_for_status()
        assert values(client) == {"colour": "green", "wet": True, "age": 3, "note": "new", "free": "any"}
        say(client, "colour", None).raise_for_status()
        act(client, 1, {"kind": "undo"}).raise_for_status()
        assert values(client)["colour"] == "green"

    def test_stay_when_the_attribute_is_renamed(self, client: TestClient) -> None:
        label = add(client, COLOUR)
        act(client, 1, click(300, 200, label=label["id"])).raise_for_status()
        say(client, "colour", "green").raise_for_status()
        shade = define(client, label["id"], COLOUR | {"name": "shade", "renamed_from": "colour"})
        assert values(client) == {"shade": "green"}
        define(client, label["id"], COLOUR | {"name": "tone", "renamed_from": "shade"})
        assert values(client) == {"tone": "green"}
        taken = client.patch(f"/api/labels/{label['id']}", json={"attributes": [COLOUR | {"name": "tone"}, COLOUR]})
        assert taken.status_code == 422
        assert "'tone' had this name before" in taken.json()["error"]
        say(client, "tone", "red").raise_for_status()
        say(client, "tone", None).raise_for_status()
        assert values(client) == {}, "nothing comes back from under an old name"
        for _ in range(2):
            act(client, 1, {"kind": "undo"}).raise_for_status()
        assert values(client) == {"tone": "green"}
        assert client.post(f"/api/labels/changes/{shade['change']}/undo").status_code == 409, "changed since"
        client.patch(f"/api/labels/{label['id']}", json={"name": "mug"}).raise_for_status()
        assert values(client) == {"tone": "green"}, "a label's own name is another matter"

    def test_stay_when_the_attribute_is_removed(self, client: TestClient) -> None:
        label = add(client, COLOUR)
        act(client, 1, click(300, 200, label=label["id"])).raise_for_status()
        say(client, "colour", "green").raise_for_status()
        define(client, label["id"])
        assert values(client) == {"colour": "green"}


def test_values_and_defaults_by_their_present_names() -> None:
    (tone,) = redefined(
        [(AttributeDefinition("tone", "text", default="plain"), "shade")],
        [AttributeDefinition("shade", "text", former=("colour",))],
    )
    assert tone.former == ("colour", "shade")
    assert current_values({"colour": "red", "x": 1.0}, [tone]) == {"tone": "red", "x": 1.0}
    assert current_values({"colour": "red", "tone": "blue"}, [tone]) == {"tone": "blue"}
    assert with_defaults({}, [tone]) == {"tone": "plain"}
    assert with_defaults({"shade": "blue"}, [tone]) == {"tone": "blue"}
    (back,) = redefined([(AttributeDefinition("colour", "text"), "tone")], [tone])
    assert back.former == ("shade", "tone")


class TestFiles:
    def export(self, client: TestClient, annotator: Any) -> dict[str, Any]:
        label = add(client, COLOUR, WET | {"default": False}, AGE | {"default": 1}, NOTE)
        add(client, name="mug")
        act(client, 1, click(300, 200, label=label["id"])).raise_for_status()
        say(client, "age", 7).raise_for_status()
        act(client, 1, {"kind": "mark", "value": "done"}).raise_for_status()
        return client.get("/api/export").json()

    def test_coco_has_definitions_values_and_defaults(self, client: TestClient, annotator: Any) -> None:
        exported = self.export(client, annotator)
        (annotation,) = exported["annotations"]
        assert annotation["attributes"] == {"colour": "red", "wet": False, "age": 7}
        cup, mug = exported["categories"]
        assert (cup["id"], annotation["category_id"], mug) == (1, 1, {"id": 2, "name": "mug"})
        assert cup["attributes"][0] == {
            "name": "colour", "input_type": "select", "mutable": False, "values": ["red", "green"],
            "default_value": "red",
        }  # fmt: skip
        assert [(one["input_type"], one["default_value"]) for one in cup["attributes"][1:]] == [
            ("checkbox", "false"), ("number", "1"), ("text", ""),
        ]  # fmt: skip

    def test_another_project_gets_the_definitions(self, client: TestClient, annotator: Any) -> None:
        exported = self.export(client, annotator)
        exported["categories"][1]["attributes"] = [{"name": "x", "input_type": "date"}]
        labels = client.get("/api/project").json()["labels"]
        defined = labels[0]["attributes"]
        define(client, labels[0]["id"], COLOUR | {"values": ["blue"], "default": None})
        for _ in range(2):
            act(client, 1, {"kind": "undo"}).raise_for_status()
        act(client, 1, {"kind": "delete", "object": 1}).raise_for_status()
        preview = client.post("/api/imports?name=a.json", content=json.dumps(exported)).json()
        assert preview["attributes"] == {"cup": ["wet", "age", "note"]}
        assert any("'mug': its attributes are left out" in line for line in preview["left_out"])
        client.post(f"/api/imports/{preview['id']}", json={"status": "todo"}).raise_for_status()
        now = client.get("/api/project").json()["labels"][0]["attributes"]
        assert now[0]["values"] == ["blue"], "what is there is not changed"
        assert now[1:] == defined[1:]
        assert values(client) == {"colour": "red", "wet": False, "age": 7}

    def test_formats_without_a_place_for_them_say_so(self, client: TestClient, annotator: Any, tmp_path: Path) -> None:
        self.export(client, annotator)
        (tmp_path / "yolo.zip").write_bytes(client.get("/api/export?format=yolo").content)
        with zipfile.ZipFile(tmp_path / "yolo.zip") as file:
            notes = file.read("notes.txt").decode()
        assert "attributes of classes left out" in notes
        assert "attributes of 1 objects left out" in notes


def test_cvat_definitions() -> None:
    read = AttributeDefinition.from_cvat
    assert read({"name": "a", "input_type": "radio", "values": ["x", "y"], "default_value": "x"}).kind == "choice"
    assert read({"name": "a", "input_type": "number", "values": ["0", "9", "1"], "default_value": "2"}).default == 2
    assert read({"name": "a", "input_type": "checkbox", "default_value": "True"}).default is True
    for wrong in (None, {}, {"name": "a"}, {"name": "a", "input_type": "number", "default_value": "x"}):
        with pytest.raises(SaywhereError):
            read(wrong)
