"""``annotate --in-browser``: masks that a page computed are checked, stored as the server's own, undone and redone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotator import PartsRuntime, act, click, make, make_folder_with_parts, mask_of, open_client
from sqlalchemy import select
from starlette.testclient import TestClient

from conftest import disc
from saywhere.annotate.computed import BrowserNetwork
from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.db.tables import EventRow
from saywhere.annotate.service import Annotator
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.errors import SaywhereError

SIZE = ImageSize(480, 640)
MASK = disc(*SIZE, 220, 240, 70)  # of no size that the stand-in for the network gives
NETWORK = BrowserNetwork({"model.json": b"{}", "onnxruntime/a.mjs": b"export {}", "onnxruntime/a.wasm": b"code"})


def computed(mask: np.ndarray = MASK, **changes: object) -> dict[str, Any]:
    return {
        "counts": RunLengths.from_mask(mask).text, "score": 0.75, "weights": PartsRuntime.digest, "precision": "fp16",
        "backend": "wasm", "candidates": {"indices": [0, 1, 2], "position": 1}, "spent_ms": 12.5, **changes,
    }  # fmt: skip


def choose(index: int) -> dict[str, object]:
    return {"kind": "candidate", "object": 1, "index": index}


@pytest.fixture
def annotator(tmp_path: Path) -> Iterator[Annotator]:
    folder = make_folder_with_parts(tmp_path / "images")
    database = Database(default_database_url(folder))
    made = make(folder, database, runtime=PartsRuntime(), network=NETWORK)
    yield made
    made.close()
    database.close()


def decoded(annotator: Annotator) -> int:
    """How often the server's network was asked."""
    runtime = annotator.segmenters.runtime
    assert isinstance(runtime, PartsRuntime)
    return len(runtime.previous)


def events(annotator: Annotator) -> list[EventRow]:
    with annotator.store.database.read_session() as session:
        return list(session.scalars(select(EventRow).order_by(EventRow.seq)))


class TestStored:
    def test_the_mask_is_stored_without_asking_the_servers_network(
        self, client: TestClient, annotator: Annotator
    ) -> None:
        answer = act(client, 1, click(220, 240), computed=computed()).json()
        assert (mask_of(answer, 1) == MASK).all()
        (one,) = answer["objects"]
        assert one["score"] == 0.75
        assert one["candidates"] == {"indices": [0, 1, 2], "position": 1}
        assert [each["kind"] for each in one["interactions"]] == ["click"]
        assert decoded(annotator) == 0

    def test_the_event_is_that_of_the_servers_own_mask_but_for_who_computed_it(
        self, client: TestClient, annotator: Annotator
    ) -> None:
        act(client, 1, click(220, 240)).raise_for_status()
        act(client, 1, {"kind": "delete", "object": 1}).raise_for_status()
        act(client, 1, click(220, 240), computed=computed()).raise_for_status()
        own, _, ours = events(annotator)
        assert ours.data.pop("computed") == {"by": "browser", "backend": "wasm", "precision": "fp16"}
        assert ours.data == own.data, "the click and the candidates"
        assert (ours.kind, ours.weights, ours.person, ours.masked) == (own.kind, own.weights, own.person, True)
        assert (ours.score, ours.area, ours.spent_ms) == (0.75, int(MASK.sum()), 12.5)

    def test_undo_and_redo(self, client: TestClient, annotator: Annotator) -> None:
        act(client, 1, click(220, 240), computed=computed()).raise_for_status()
        larger = act(client, 1, choose(2), computed=computed(disc(*SIZE, 220, 240, 90))).json()
        back = act(client, 1, {"kind": "undo"}).json()
        assert (mask_of(back, 1) == MASK).all()
        again = act(client, 1, {"kind": "redo"}).json()
        assert again["objects"] == larger["objects"]
        assert [one["kind"] for one in again["objects"][0]["interactions"]] == ["click", "candidate"]
        assert decoded(annotator) == 0

    def test_an_empty_mask_a_threshold_and_a_box(self, client: TestClient) -> None:
        empty = computed(np.zeros(SIZE, np.bool_), score=0.0, candidates={"indices": [], "position": 0})
        answer = act(client, 1, {"kind": "box", "box": [100, 120, 340, 360]}, computed=empty).json()
        assert answer["objects"][0]["area"] == 0
        action = {"kind": "threshold", "object": 1, "value": 0.3}
        answer = act(client, 1, action, computed=computed()).json()
        assert answer["objects"][0]["threshold"] == 0.3
        assert (mask_of(answer, 1) == MASK).all()

    def test_strokes_stay_on_top(self, client: TestClient) -> None:
        act(client, 1, click(220, 240), computed=computed()).raise_for_status()
        stroke = {"kind": "brush", "object": 1, "paint": True, "radius": 9, "points": [[500, 100], [540, 100]]}
        act(client, 1, stroke).raise_for_status()
        found = mask_of(act(client, 1, click(230, 240, object=1), computed=computed()).json(), 1)
        assert found[100, 520]
        assert (found[:, :400] == MASK[:, :400]).all()

    def test_the_server_goes_on_where_a_page_stopped(self, client: TestClient, annotator: Annotator) -> None:
        act(client, 1, click(220, 240), computed=computed()).raise_for_status()
        answer = act(client, 1, {"kind": "phrase", "text": "red ball", "object": 1}).json()
        assert [one["kind"] for one in answer["objects"][0]["interactions"]] == ["click", "phrase"]
        assert decoded(annotator) > 0


def wrong_size() -> dict[str, Any]:
    return computed(np.ones((10, 10), np.bool_))


REFUSED: dict[str, tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any], str]] = {
    "other weights": ([], click(9, 9), computed(weights="00other"), "with weights 00other in fp16, expected 00parts"),
    "other precision": ([], click(9, 9), computed(precision="int8"), "in int8, expected 00parts in fp16"),
    "damaged": ([], click(9, 9), computed(counts="\x7f\x7f"), "run lengths are damaged"),
    "another size": ([], click(9, 9), wrong_size(), "run lengths cover 100 pixels; expected 307,200"),
    "a score above 1": ([], click(9, 9), computed(score=1.5), "computed.score"),
    "a click outside": ([], click(900, 9), computed(), r"click at \(900, 9\): outside"),
    "a candidate too many": (
        [], click(9, 9), computed(candidates={"indices": [0, 3], "position": 0}), "not of a network with 3 masks",
    ),
    "no such position": (
        [], click(9, 9), computed(candidates={"indices": [0, 1], "position": 2}), r"candidates \[0, 1\] at 2",
    ),
    "a choice beyond": ([click(220, 240)], choose(7), computed(), "candidate 7: not a candidate"),
    "a phrase": ([], {"kind": "phrase", "text": "red ball"}, computed(), "a page computes no mask for 'phrase'"),
    "an object with a phrase": (
        [{"kind": "phrase", "text": "red ball"}], click(220, 240, object=1), computed(), "object 1 has a phrase",
    ),
    "an object that was drawn": (
        [{"kind": "polygon", "rings": [[[9, 9], [90, 9], [90, 90]]]}], click(50, 30, object=1), computed(),
        "object 1 has a mask that was given",
    ),
}  # fmt: skip


class TestRefused:
    @pytest.mark.parametrize("name", REFUSED)
    def test_in_one_line_and_nothing_is_stored(self, client: TestClient, annotator: Annotator, name: str) -> None:
        before, action, sent, error = REFUSED[name]
        for one in before:
            act(client, 1, one).raise_for_status()
        answer = act(client, 1, action, computed=sent)
        assert answer.status_code == 422
        with pytest.raises(SaywhereError, match=error):
            raise SaywhereError(answer.json()["error"])
        assert "\n" not in answer.json()["error"]
        assert len(events(annotator)) == len(before)

    def test_without_in_browser(self, tmp_path: Path) -> None:
        folder = make_folder_with_parts(tmp_path / "others")
        database = Database(default_database_url(folder))
        made = make(folder, database, runtime=PartsRuntime())
        with open_client(made) as client:
            assert client.get("/api/project").json()["in_browser"] is None
            answer = act(client, 1, click(9, 9), computed=computed())
            assert (answer.status_code, "without --in-browser" in answer.json()["error"]) == (422, True)
            assert "cross-origin-embedder-policy" not in client.get("/").headers
        made.close()
        database.close()

    def test_a_network_that_no_browser_runs(self) -> None:
        with pytest.raises(SaywhereError, match="--in-browser: model 'parts' does not run in browsers; leave out"):
            BrowserNetwork.of(PartsRuntime())


class TestFiles:
    def test_pages_are_isolated_and_get_the_network_once(self, client: TestClient) -> None:
        page = client.get("/")
        assert page.headers["cross-origin-embedder-policy"] == "require-corp"
        assert "script-src 'self' 'wasm-unsafe-eval';" in page.headers["content-security-policy"]
        given = client.get("/api/project").json()["in_browser"]
        assert given["precision"] == "fp16"
        types = {"model.json": "application/json", "onnxruntime/a.mjs": "text/javascript; charset=utf-8"}
        types["onnxruntime/a.wasm"] = "application/wasm"
        for name, kind in types.items():
            file = client.get(given["address"] + name)
            assert (file.content, file.headers["content-type"]) == (NETWORK.files[name], kind)
            assert "immutable" in file.headers["cache-control"]
        assert client.get(given["address"] + "encoder.onnx").status_code == 404
        assert client.get("/static/inference/worker.js").status_code == 200

    def test_another_network_has_another_address(self) -> None:
        assert BrowserNetwork({"model.json": b"{ }"}).address != NETWORK.address

    def test_a_token_protects_them(self, annotator: Annotator) -> None:
        with open_client(annotator, token="a-long-enough-token") as client:
            assert client.get(NETWORK.address + "model.json").status_code == 401
