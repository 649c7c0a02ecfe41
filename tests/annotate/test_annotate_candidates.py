"""Boxes and candidate masks in the annotator: what is stored, shown again, undone, refused and counted."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from annotator import PartsRuntime, RedRuntime, act, click, make, make_folder_with_parts, mask_of, open_client
from pycocotools import mask as coco
from sqlalchemy import select
from starlette.testclient import TestClient

from conftest import disc
from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.db.tables import EventRow
from saywhere.annotate.inference.candidates import distinct_candidates
from saywhere.annotate.service import Annotator
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import Mask

SIZE = ImageSize(480, 640)
PART, WHOLE = disc(*SIZE, 220, 240, 50), disc(*SIZE, 220, 240, 110)
GROUP = disc(*SIZE, 220, 240, 150)
BOX = [100, 120, 340, 360]


@pytest.fixture
def annotator(tmp_path: Path) -> Iterator[Annotator]:
    folder = make_folder_with_parts(tmp_path / "images")
    database = Database(default_database_url(folder))
    made = make(folder, database, runtime=PartsRuntime())
    yield made
    made.close()
    database.close()


def choose(index: int) -> dict[str, object]:
    return {"kind": "candidate", "object": 1, "index": index}


def box(*edges: float, object: int | None = None) -> dict[str, object]:
    return {"kind": "box", "box": list(edges), "object": object}


def object_in(client: TestClient) -> dict[str, object]:
    (found,) = client.get("/api/images/1").json()["state"]["objects"]
    return found


def nearly(found: np.ndarray, expected: np.ndarray) -> bool:
    return (found & expected).sum() / (found | expected).sum() > 0.97


class TestCandidates:
    def test_a_click_offers_part_whole_and_group(self, client: TestClient) -> None:
        answer = act(client, 1, click(220, 240)).json()
        assert nearly(mask_of(answer, 1), WHOLE)
        assert answer["objects"][0]["candidates"] == {"indices": [0, 1, 2], "position": 1}

    def test_stepping_changes_the_mask_and_is_undone_and_redone(self, client: TestClient) -> None:
        first = act(client, 1, click(220, 240)).json()
        larger = act(client, 1, choose(2)).json()
        assert nearly(mask_of(larger, 1), GROUP)
        act(client, 1, {"kind": "undo"}).raise_for_status()
        smaller = act(client, 1, choose(0)).json()
        assert nearly(mask_of(smaller, 1), PART)
        assert smaller["objects"][0]["candidates"]["position"] == 0
        assert smaller["objects"][0]["choices"] == 1
        back = act(client, 1, {"kind": "undo"}).json()
        assert (mask_of(back, 1) == mask_of(first, 1)).all()
        assert back["objects"] == first["objects"]
        again = act(client, 1, {"kind": "redo"}).json()
        assert again["objects"] == smaller["objects"]
        assert (mask_of(again, 1) == mask_of(smaller, 1)).all()

    def test_the_way_back_from_a_part_leads_over_the_whole(self, client: TestClient) -> None:
        """In the crop of the part, whole and group fill everything and look alike."""
        found = act(client, 1, click(220, 240)).json()["objects"][0]["candidates"]
        for step, expected in ((-1, PART), (1, WHOLE), (1, GROUP), (-1, WHOLE)):
            index, position = found["indices"][found["position"] + step], found["position"] + step
            answer = act(client, 1, choose(index)).json()
            found = answer["objects"][0]["candidates"]
            assert nearly(mask_of(answer, 1), expected)
            assert (len(found["indices"]), found["position"]) == (3, position)
        answer = act(client, 1, {"kind": "threshold", "object": 1, "value": 0.6}).json()
        assert answer["objects"][0]["candidates"] == found

    def test_a_choice_is_replayed_when_the_image_is_opened_again(self, annotator: Annotator, tmp_path: Path) -> None:
        client = open_client(annotator)
        act(client, 1, click(220, 240)).raise_for_status()
        act(client, 1, choose(0)).raise_for_status()
        here = act(client, 1, click(220, 260, positive=False, object=1)).json()
        act(client, 1, {"kind": "undo"}).raise_for_status()
        other = make(tmp_path / "images", annotator.store.database, runtime=PartsRuntime())
        reader = open_client(other)
        opened = reader.get("/api/images/1").json()["state"]
        assert nearly(mask_of(opened, 1), PART)
        assert opened["objects"] == client.get("/api/images/1").json()["state"]["objects"]
        there = act(reader, 1, click(220, 260, positive=False, object=1)).json()
        assert (mask_of(there, 1) == mask_of(here, 1)).all()
        other.close()

    def test_a_stroke_stays_on_whichever_candidate_is_chosen(self, client: TestClient) -> None:
        act(client, 1, click(220, 240)).raise_for_status()
        stroke = {"kind": "brush", "paint": True, "radius": 8, "points": [[20, 20], [60, 20]], "object": 1}
        answer = act(client, 1, stroke).json()
        assert answer["objects"][0]["candidates"]["position"] == 1
        answer = act(client, 1, choose(0)).json()
        assert mask_of(answer, 1)[20, 40]
        assert mask_of(answer, 1).sum() < WHOLE.sum() / 2

    def test_masks_that_are_nearly_equal_are_offered_once(self) -> None:
        crop = Crop.from_box((0, 0, 64, 48), ImageSize(48, 64), 64)

        def mask(radius: int) -> Mask:
            return Mask(crop, np.where(disc(48, 64, 30, 20, radius), 8.0, -8.0).astype(np.float32), ImageSize(48, 64))

        small, large = mask(8), mask(16)
        logits = large.logits.copy()
        logits[4:6, 28:33] = -8.0
        almost = Mask(crop, logits, large.image_size)
        empty = Mask(crop, np.full((48, 64), -8.0, np.float32), large.image_size)
        for masks, chosen, indices, position in (
            ([small, almost, large], 0, (0, 1), 0),
            ([small, almost, large], 2, (0, 2), 1),
            ([small, almost, large], 1, (0, 1), 1),
            ([almost, large], 0, (), 0),
            ([empty, small, large], 2, (1, 2), 1),
            ([large], 0, (), 0),
            ([], 0, (), 0),
        ):
            found = distinct_candidates(masks, chosen)
            assert (found.indices, found.position) == (indices, position)

    def test_one_mask_offers_nothing(self, tmp_path: Path) -> None:
        folder = make_folder_with_parts(tmp_path / "images")
        annotator = make(folder, Database(default_database_url(folder)))
        client = open_client(annotator)
        project = client.get("/api/project").json()
        assert (project["boxes"], project["candidates"]) == (False, 1)
        answer = act(client, 1, click(220, 240)).json()
        assert answer["objects"][0]["candidates"] == {"indices": [], "position": 0}
        with annotator.store.database.read_session() as session:
            assert "candidates" not in session.scalars(select(EventRow.data)).one()
        annotator.close()

    def test_weights_of_one_mask_continue_what_others_began(self, annotator: Annotator, tmp_path: Path) -> None:
        client = open_client(annotator)
        act(client, 1, click(220, 160)).raise_for_status()
        act(client, 1, choose(2)).raise_for_status()
        other = make(tmp_path / "images", annotator.store.database, runtime=RedRuntime())
        assert "there are 1" in act(open_client(other), 1, choose(2)).json()["error"]
        assert act(open_client(other), 1, choose(0)).json()["objects"][0]["candidates"]["indices"] == []
        answer = act(open_client(other), 1, click(220, 180, positive=False, object=1)).json()
        assert mask_of(answer, 1)[150, 220]
        assert answer["objects"][0]["candidates"]["indices"] == []
        other.close()


class TestBox:
    def test_a_box_gives_a_mask_that_clicks_refine(self, client: TestClient) -> None:
        assert client.get("/api/project").json()["boxes"]
        answer = act(client, 1, box(*BOX)).json()
        assert nearly(mask_of(answer, 1), WHOLE)
        assert answer["objects"][0]["box"] == BOX
        assert answer["objects"][0]["candidates"]["indices"] == [], "three equal masks are one"
        answer = act(client, 1, click(220, 240, positive=False, object=1)).json()
        assert not mask_of(answer, 1)[240, 220]
        assert mask_of(answer, 1)[150, 220]
        assert answer["objects"][0]["box"] == BOX

    def test_another_box_replaces_it_and_undo_brings_the_first_back(self, client: TestClient) -> None:
        first = act(client, 1, box(*BOX)).json()
        second = act(client, 1, box(410, 150, 590, 330, object=1)).json()
        assert mask_of(second, 1)[240, 500]
        assert not mask_of(second, 1)[240, 220]
        back = act(client, 1, {"kind": "undo"}).json()
        assert back["objects"] == first["objects"]
        assert (mask_of(back, 1) == mask_of(first, 1)).all()
        assert act(client, 1, {"kind": "undo"}).json()["objects"] == []
        again = act(client, 1, {"kind": "redo"}).json()
        assert again["objects"] == first["objects"]

    def test_it_is_cut_off_at_the_border(self, client: TestClient) -> None:
        answer = act(client, 1, box(-50, -0.5, 340.25, 900)).json()
        assert answer["objects"][0]["box"] == [0, 0, 340.25, 480]

    def test_it_is_replayed_when_the_image_is_opened_again(self, annotator: Annotator, tmp_path: Path) -> None:
        client = open_client(annotator)
        act(client, 1, box(*BOX)).raise_for_status()
        other = make(tmp_path / "images", annotator.store.database, runtime=PartsRuntime())
        reader = open_client(other)
        assert object_in(reader) == object_in(client)
        answer = act(reader, 1, click(220, 240, positive=False, object=1)).json()
        assert mask_of(answer, 1)[150, 220]
        assert not mask_of(answer, 1)[240, 500], "outside the box"
        other.close()

    def test_threshold_and_probability_of_an_object_of_a_box_alone(self, client: TestClient) -> None:
        act(client, 1, box(*BOX)).raise_for_status()
        act(client, 1, {"kind": "threshold", "object": 1, "value": 0.7}).raise_for_status()
        shown = client.get("/api/images/1/objects/1/probability").json()
        assert shown["right"] > BOX[2]


class TestRejected:
    @pytest.mark.parametrize(
        ("action", "words"),
        [
            (box(50, 60, 20, 90), "reversed"),
            (box(50, 60, 50, 90), "empty"),
            (box(700, 60, 720, 90), "outside the image, which is 640x480"),
            (box(float("nan"), 60, 80, 90), "finite"),
            (box(0, 60, float("inf"), 90), "finite"),
            (box(0, 60, 80), "box"),
            (box(0, 60, 1e30, 90), "less than or equal"),
            ({"kind": "box"}, "box"),
            (box(*BOX, object=7), "object 7"),
            (choose(3), "candidate 3: not a candidate mask of object 1; there are 3"),
            (choose(-1), "greater than or equal to 0"),
            ({"kind": "candidate", "index": 0}, "object"),
            ({"kind": "candidate", "index": 0, "object": 9}, "object 9"),
        ],
    )
    def test_one_line_and_nothing_is_lost(self, client: TestClient, action: dict[str, object], words: str) -> None:
        act(client, 1, click(220, 240)).raise_for_status()
        before = client.get("/api/images/1").json()["state"]
        # Written by hand: httpx refuses to send what is not finite.
        body = {"key": "key-of-this-test", "base": 1, "action": action}
        content = json.dumps(body)
        refused = client.post("/api/images/1/events", content=content, headers={"content-type": "application/json"})
        assert refused.status_code == 422
        assert words in refused.json()["error"]
        assert "\n" not in refused.json()["error"]
        assert client.get("/api/images/1").json()["state"] == before
        answer = act(client, 1, choose(0)).json()
        assert nearly(mask_of(answer, 1), PART), "the object continues where it was"

    def test_a_choice_for_brush_strokes_alone(self, client: TestClient) -> None:
        act(client, 1, {"kind": "brush", "paint": True, "radius": 5, "points": [[100, 100]]}).raise_for_status()
        refused = act(client, 1, choose(0))
        assert refused.status_code == 422
        assert "click on it first" in refused.json()["error"]

    def test_weights_without_boxes_say_so(self, tmp_path: Path) -> None:
        folder = make_folder_with_parts(tmp_path / "images")
        annotator = make(folder, Database(default_database_url(folder)))
        refused = act(open_client(annotator), 1, box(*BOX))
        assert refused.status_code == 422
        assert "box" in refused.json()["error"]
        assert "'red'" in refused.json()["error"]
        annotator.close()

    def test_a_study_has_neither(self, tmp_path: Path) -> None:
        folder = make_folder_with_parts(tmp_path / "images")
        annotator = make(folder, Database(default_database_url(folder)), "drag", runtime=PartsRuntime())
        client = open_client(annotator)
        act(client, 1, click(220, 240)).raise_for_status()
        for action in (box(*BOX), choose(0)):
            refused = act(client, 1, action)
            assert refused.status_code == 422
            assert "study of 'drag'" in refused.json()["error"]
        annotator.close()

    def test_somebody_else_s_image_is_not_changed(self, annotator: Annotator) -> None:
        anna, ben = open_client(annotator, name="anna-page"), open_client(annotator, name="ben-page-1")
        act(anna, 1, click(220, 240)).raise_for_status()
        assert act(ben, 1, choose(0)).status_code == 423
        assert act(ben, 1, box(*BOX)).status_code == 423
        assert act(anna, 1, choose(0), base=0).status_code == 409


class TestResults:
    def test_they_count_as_interactions(self, client: TestClient) -> None:
        act(client, 1, box(*BOX)).raise_for_status()
        act(client, 1, click(220, 160, object=1)).raise_for_status()
        act(client, 1, choose(0)).raise_for_status()
        act(client, 1, choose(0)).raise_for_status()
        act(client, 1, {"kind": "undo"}).raise_for_status()
        (row,) = client.get("/api/stats").json()["objects"]
        counts = {name: row[name] for name in ("clicks", "boxes", "choices", "interactions", "undone")}
        assert counts == {"clicks": 1, "boxes": 1, "choices": 1, "interactions": 3, "undone": 1}
        (cells,) = csv.DictReader(io.StringIO(client.get("/api/stats.csv").text))
        assert (cells["boxes"], cells["choices"]) == ("1", "1")

    def test_the_chosen_mask_is_exported(self, client: TestClient) -> None:
        act(client, 1, click(220, 240)).raise_for_status()
        act(client, 1, choose(0)).raise_for_status()
        (annotation,) = client.get("/api/export", params={"done": False}).json()["annotations"]
        assert nearly(coco.decode(annotation["segmentation"]).astype(bool), PART)

    def test_a_choice_encodes_no_image_again(self, annotator: Annotator) -> None:
        client = open_client(annotator)
        act(client, 1, click(220, 240)).raise_for_status()
        runtime = annotator.segmenters.runtime
        assert isinstance(runtime, PartsRuntime)
        wholes = runtime.encoded.count((240, 320))
        assert wholes == 1
        for index in (0, 1, 2, 1):
            act(client, 1, choose(index)).raise_for_status()
        assert runtime.encoded.count((240, 320)) == wholes
