"""The annotator's contract: what is done, what is kept, what is answered. In this process, with a fast network."""

from __future__ import annotations

import io
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from annotator import act, click, make, make_folder, mask_of, open_client, picture
from PIL import Image
from pycocotools import mask as coco
from sqlalchemy import select
from starlette.testclient import TestClient

from saywhere.annotate import stats
from saywhere.annotate.db import locks
from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.db.tables import EventRow
from saywhere.annotate.service import Annotator
from saywhere.data import formats
from saywhere.errors import SaywhereError


class TestActions:
    def test_a_click_is_answered_with_the_disc(self, client: TestClient) -> None:
        answer = act(client, 1, click(300, 200)).json()
        found, truth = mask_of(answer, 1), picture([(300, 200, 60)])[..., 0] > 150
        assert (found & truth).sum() / (found | truth).sum() > 0.97
        assert answer["state"] == "started"
        assert client.get("/api/images").json()["images"][0]["objects"] == 1

    def test_drag_phrase_threshold_label_delete(self, client: TestClient) -> None:
        label = client.post("/api/labels", json={"name": "disc"}).json()
        act(client, 1, {"kind": "phrase", "text": "red ball", "label": label["id"]}).raise_for_status()
        act(client, 1, click(310, 210, radius=50, object=1)).raise_for_status()
        act(client, 1, {"kind": "threshold", "object": 1, "value": 0.7}).raise_for_status()
        act(client, 1, {"kind": "label", "object": 1, "label": None}).raise_for_status()
        (found,) = client.get("/api/images/1").json()["state"]["objects"]
        assert (found["phrase"], found["threshold"], found["label"]) == ("red ball", 0.7, None)
        assert found["clicks"] == [{"x": 310, "y": 210, "positive": True, "radius": 50}]
        answer = act(client, 1, {"kind": "delete", "object": 1}).json()
        assert answer["objects"] == []
        back = act(client, 1, {"kind": "undo"}).json()
        assert mask_of(back, 1).sum() > 10_000

    def test_undo_gives_the_very_mask_from_before(self, client: TestClient) -> None:
        first = act(client, 1, click(300, 200)).json()
        act(client, 1, click(320, 200, positive=False, object=1)).raise_for_status()
        back = act(client, 1, {"kind": "undo"}).json()
        assert (mask_of(back, 1) == mask_of(first, 1)).all()
        again = act(client, 1, {"kind": "redo"}).json()
        assert mask_of(again, 1).sum() < mask_of(first, 1).sum()
        assert act(client, 1, {"kind": "redo"}).status_code == 422

    def test_the_brush_outlives_the_next_click(self, client: TestClient) -> None:
        act(client, 1, click(300, 200)).raise_for_status()
        stroke = {"kind": "brush", "paint": True, "radius": 8, "points": [[20, 20], [60, 20]], "object": 1}
        act(client, 1, stroke).raise_for_status()
        answer = act(client, 1, click(305, 205, object=1)).json()
        assert mask_of(answer, 1)[20, 40]
        assert mask_of(answer, 1)[200, 300]

    def test_an_object_of_brush_strokes_alone(self, client: TestClient) -> None:
        stroke = {"kind": "brush", "paint": True, "radius": 5, "points": [[100, 100]]}
        assert mask_of(act(client, 3, stroke).json(), 1).sum() > 60
        assert act(client, 3, {"kind": "threshold", "object": 1, "value": 0.3}).status_code == 422

    def test_a_lost_answer_is_given_again_not_done_again(self, client: TestClient) -> None:
        body = {"key": "the-same-key", "base": 0, "action": click(300, 200)}
        first = client.post("/api/images/1/events", json=body).json()
        second = client.post("/api/images/1/events", json=body).json()
        assert first == second
        assert second["seq"] == 1

    def test_nothing_is_overwritten_silently(self, client: TestClient) -> None:
        act(client, 1, click(300, 200)).raise_for_status()
        late = act(client, 1, click(20, 20), base=0)
        assert late.status_code == 409
        assert client.get("/api/images/1").json()["state"]["seq"] == 1

    def test_the_network_continues_after_a_restart(self, annotator: Annotator, tmp_path: Path) -> None:
        client = open_client(annotator)
        act(client, 1, click(300, 200)).raise_for_status()
        act(client, 1, click(330, 200, positive=False, object=1)).raise_for_status()
        other = make(tmp_path / "photos", annotator.store.database)
        answer = act(open_client(other), 1, click(270, 200, positive=False, object=1)).json()
        found = mask_of(answer, 1)
        assert found[200, 300]
        assert not found[200, 330]
        assert not found[200, 270]
        other.close()

    def test_features_are_made_once(self, annotator: Annotator) -> None:
        client = open_client(annotator)
        for x in (290, 300, 310):
            act(client, 1, click(x, 200, object=None if x == 290 else 1)).raise_for_status()
        wholes = [size for size in annotator.segmenters.runtime.encoded if size == (240, 320)]
        act(client, 1, click(300, 210)).raise_for_status()
        assert [size for size in annotator.segmenters.runtime.encoded if size == (240, 320)] == wholes
        assert len(wholes) == 1

    def test_images_in_memory_are_bounded(self, tmp_path: Path) -> None:
        database = Database(default_database_url(make_folder(tmp_path / "photos")))
        small = make(tmp_path / "photos", database, max_bytes=1)
        for image in (1, 2, 3, 1):
            act(open_client(small), image, click(300, 200)).raise_for_status()
        assert len(small.segmenters._images) == 1
        small.close()

    @pytest.mark.parametrize(
        ("action", "words"),
        [
            (click(9000, 10), "outside the"),
            (click(300, 200, object=5), "object 5"),
            (click(300, 200, label=99), "label 99"),
            (click(300, 200, radius=0), "radius"),
            ({"kind": "phrase", "text": "xyzzyq"}, "known English word"),
            ({"kind": "phrase", "text": "   "}, "empty"),
            ({"kind": "undo"}, "nothing to undo"),
            ({"kind": "brush", "paint": True, "radius": 5, "points": [[99999, 0]]}, "far outside"),
            ({"kind": "dance"}, "dance"),
            ({"kind": "click", "x": "left", "y": 0}, "valid number"),
            ({"kind": "click", "x": 1, "y": 2, "sudo": True}, "sudo"),
        ],
    )
    def test_what_cannot_be_done_is_rejected_and_not_stored(
        self, client: TestClient, action: dict[str, object], words: str
    ) -> None:
        refused = act(client, 1, action)
        assert refused.status_code == 422
        assert words in refused.json()["error"]
        assert client.get("/api/images/1").json()["state"]["seq"] == 0

    def test_a_study_lets_only_its_own_interactions_through(self, tmp_path: Path) -> None:
        database = Database(default_database_url(make_folder(tmp_path / "photos")))
        annotator = make(tmp_path / "photos", database, "click")
        client = open_client(annotator)
        assert act(client, 1, click(300, 200)).status_code == 200
        assert "study of 'click'" in act(client, 1, click(300, 200, radius=9)).json()["error"]
        assert act(client, 1, {"kind": "phrase", "text": "dog"}).status_code == 422
        assert act(client, 1, {"kind": "undo"}).status_code == 200
        with pytest.raises(SaywhereError, match="choose click"):
            make(tmp_path / "photos", database, "guess")
        annotator.close()


class TestTwoPeople:
    def test_the_first_to_open_holds_the_lock_until_it_is_taken_over(self, annotator: Annotator) -> None:
        anna, ben = open_client(annotator, name="anna-page"), open_client(annotator, name="ben-page-1")
        anna.headers["X-Saywhere-Person"] = "Anna%20%C3%84"
        assert anna.post("/api/images/1/lock").status_code == 200
        refused = ben.post("/api/images/1/lock")
        assert (refused.status_code, refused.json()["holder"]) == (423, "Anna Ä")
        assert act(ben, 1, click(300, 200)).status_code == 423
        assert ben.get("/api/images/1").json()["holder"] == "Anna Ä"
        assert ben.post("/api/images/1/lock?take=true").status_code == 200
        assert act(anna, 1, click(300, 200)).status_code == 423
        assert act(ben, 1, click(300, 200)).status_code == 200
        assert act(anna, 1, click(300, 200), base=0).status_code == 423, "the lock is checked before the state"

    def test_a_lock_ends_with_the_page_or_with_time(
        self, annotator: Annotator, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        anna, ben = open_client(annotator, name="anna-page"), open_client(annotator, name="ben-page-1")
        anna.post("/api/images/1/lock").raise_for_status()
        assert anna.delete("/api/images/1/lock").status_code == 204
        ben.post("/api/images/1/lock").raise_for_status()
        monkeypatch.setattr(locks, "DURATION_MS", 0)
        ben.post("/api/images/1/lock").raise_for_status()
        assert anna.post("/api/images/1/lock").status_code == 200

    def test_many_at_once_lose_nothing(self, annotator: Annotator) -> None:
        answered: list[str] = []

        def work(image: int) -> None:
            client = open_client(annotator, name=f"client-{image}")
            for step in range(12):
                body = {"key": f"the-key-{image}-{step}", "base": step, "action": click(300, 200)}
                if client.post(f"/api/images/{image}/events", json=body).status_code == 200:
                    answered.append(body["key"])

        threads = [threading.Thread(target=work, args=(image,)) for image in (1, 2, 3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        with annotator.store.database.read_session() as session:
            kept = set(session.scalars(select(EventRow.key)))
        assert len(answered) == 36
        assert kept == set(answered)


class TestQueries:
    def test_relevance_and_proposal(self, client: TestClient) -> None:
        label = client.post("/api/labels", json={"name": "ball"}).json()["id"]
        relevance = client.get("/api/images/2/relevance", params={"phrase": "ball"}).json()
        assert (relevance["right"], relevance["bottom"]) == (640, 480)
        proposal = client.get("/api/images/2/proposal", params={"label": label}).json()
        act(client, 2, click(proposal["x"], proposal["y"], proposed=True, label=label)).raise_for_status()
        other = client.get("/api/images/2/proposal", params={"label": label}).json()
        assert abs(other["x"] - proposal["x"]) > 100
        act(client, 2, click(other["x"], other["y"], proposed=True, label=label)).raise_for_status()
        assert client.get("/api/images/2/proposal", params={"label": label}).json()["x"] is None
        assert client.get("/api/images/3/proposal", params={"label": label}).json()["x"] is None

    def test_pictures(self, client: TestClient) -> None:
        opened = client.get("/api/images/1").json()
        whole = client.get("/api/images/1/picture", params={"longest": 320, "version": opened["version"]})
        assert Image.open(io.BytesIO(whole.content)).size == (320, 240)
        assert "immutable" in whole.headers["cache-control"]
        box = {"left": 250, "top": 150, "right": 350, "bottom": 250}
        part = client.get("/api/images/1/picture", params=box)
        assert Image.open(io.BytesIO(part.content)).size == (100, 100)
        assert part.headers["cache-control"] == "no-store"
        assert client.get("/api/images/1/picture", params={"left": 640}).status_code == 422
        assert Image.open(io.BytesIO(client.get("/api/images/1/thumbnail").content)).size == (128, 96)

    def test_statistics_count_active_events(self, client: TestClient) -> None:
        label = client.post("/api/labels", json={"name": "=evil()"}).json()["id"]
        act(client, 1, click(300, 200, label=label)).raise_for_status()
        act(client, 1, click(310, 200, positive=False, object=1)).raise_for_status()
        act(client, 1, {"kind": "undo"}).raise_for_status()
        body = {"key": "a-slow-person", "base": 3, "action": click(310, 200, radius=30, object=1), "took_ms": 2500}
        client.post("/api/images/1/events", json=body).raise_for_status()
        (row,) = client.get("/api/stats").json()["objects"]
        assert (row["clicks"], row["drags"], row["undone"], row["interactions"]) == (1, 1, 1, 2)
        assert 2.5 <= row["seconds"] < 60
        table = client.get("/api/stats.csv").text.splitlines()
        assert table[0].startswith("path,state,object")
        assert ",'=evil()," in table[1]

    def test_effort_is_followed_from_the_start_to_now(self) -> None:
        def cost(begun: int, interactions: int, proposed: int, seconds: float) -> stats.ObjectFigures:
            return stats.ObjectFigures(
                "a.png", "done", 1, "cat", "somebody", interactions, 0, 0, 0, 0, 0, proposed, interactions, seconds,
                None, None, begun, begun,
            )  # fmt: skip

        early, late = [cost(n, 3, 0, 9.0) for n in range(10)], [cost(n, 1, n % 2, 2.0) for n in range(10, 25)]
        found = stats.effort_over_time([*late, *early])
        assert [one.objects for one in found] == [12, 13]
        assert found[0] == stats.Effort(12, round((30 + 2 - 1) / 12, 3), round((90 + 4) / 12, 3), round(1 / 12, 3))
        assert found[1] == stats.Effort(13, round((13 - 6) / 13, 3), 2.0, round(6 / 13, 3))
        assert stats.effort_over_time(early[:3]) == [stats.Effort(3, 3.0, 9.0, 0.0)]
        assert stats.effort_over_time([]) == []

    def test_export_is_coco(self, client: TestClient) -> None:
        answer = act(client, 1, click(300, 200)).json()
        assert client.get("/api/export").json()["annotations"] == [], "it is not done"
        exported = client.get("/api/export", params={"done": False}).json()
        (annotation,) = exported["annotations"]
        assert coco.decode(annotation["segmentation"]).astype(bool).sum() == mask_of(answer, 1).sum()
        assert exported["categories"] == [{"id": 1, "name": "object"}]

    def test_only_annotated_images_are_exported(self, client: TestClient) -> None:
        """Three images: one is done, one was opened, one was loaded ahead; none of the latter is a negative."""
        act(client, 1, click(300, 200)).raise_for_status()
        client.get("/api/images/2").raise_for_status()
        client.post("/api/images/3/prefetch").raise_for_status()
        notes = client.get("/api/export").json()["info"]["notes"]
        assert notes == [
            "left out: 1 image started and not done, with 1 object", "left out: 2 images not annotated",
        ]  # fmt: skip
        act(client, 1, {"kind": "mark", "value": "done"}).raise_for_status()
        for params in ({}, {"done": False}):
            exported = client.get("/api/export", params=params).json()
            assert [image["file_name"] for image in exported["images"]] == ["a-one.png"]
            assert "left out: 2 images not annotated" in exported["info"]["notes"]
        with zipfile.ZipFile(io.BytesIO(client.get("/api/export", params={"format": "yolo"}).content)) as file:
            assert [name for name in file.namelist() if name.startswith("labels/")] == ["labels/a-one.txt"]
            assert "left out: 2 images not annotated" in file.read("notes.txt").decode()
        act(client, 3, {"kind": "mark", "value": "done"}).raise_for_status()
        assert len(client.get("/api/export").json()["images"]) == 2, "an image that is done may have no object"
        act(client, 1, {"kind": "mark", "value": "skipped"}).raise_for_status()
        notes = client.get("/api/export").json()["info"]["notes"]
        assert "left out: 1 image skipped, with 1 object" in notes

    def test_cutouts_of_one_object_and_of_all(self, client: TestClient) -> None:
        assert client.get("/api/images/2/cutout").status_code == 422, "it has no object yet"
        masks = []
        for number, place in enumerate([(180, 200), (460, 280)], 1):
            masks.append(mask_of(act(client, 2, click(*place)).json(), number))
        original = picture([(180, 200, 60), (460, 280, 50)])
        for query, mask in (({"object": 1}, masks[0]), ({"object": 2}, masks[1]), ({}, masks[0] | masks[1])):
            answer = client.get("/api/images/2/cutout", params=query)
            assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''b-two-cutout.png"
            cut = np.asarray(Image.open(io.BytesIO(answer.content)))
            assert ((cut[:, :, 3] > 127) == mask).all()
            assert ((cut[:, :, 3] > 0) & (cut[:, :, 3] < 255)).any(), "soft edges"
        answer = client.get("/api/images/2/cutout", params={"object": 1, "blur": 9})
        assert answer.headers["content-disposition"].endswith("b-two-blurred.png")
        blurred = np.asarray(Image.open(io.BytesIO(answer.content)))
        assert blurred.shape == (480, 640, 3)
        assert (blurred[190:210, 170:190] == original[190:210, 170:190]).all(), "sharp"
        assert (blurred[230, 405:415] != original[230, 405:415]).any(), "the other object is background here"
        for bad in ({"object": 3}, {"blur": 0}, {"blur": "nan"}, {"blur": 700}, {"object": 0}):
            assert client.get("/api/images/2/cutout", params=bad).status_code == 422, bad
        assert client.get("/api/images/99/cutout").status_code == 404

    def test_every_format_gives_the_masks_back(self, client: TestClient, tmp_path: Path) -> None:
        label = client.post("/api/labels", json={"name": "ball"}).json()["id"]
        answer = act(client, 1, click(300, 200, label=label)).json()
        for form in ("voc", "yolo", "labelme", "png"):
            packed = client.get("/api/export", params={"format": form, "done": False})
            place = tmp_path / form
            with zipfile.ZipFile(io.BytesIO(packed.content)) as file:
                file.extractall(place)
            annotated = [one() for one in formats.read(place, form, tmp_path / "photos").images]
            (found,) = [one for image in annotated for one in image.objects]
            truth = mask_of(answer, 1)
            assert (found.mask & truth).sum() / (found.mask | truth).sum() > 0.99
            assert found.label == "ball"
        assert client.get("/api/export", params={"format": "exe"}).status_code == 422


def test_the_contract_is_documented(client: TestClient) -> None:
    """Every route says what it does; tools/docs_site.py makes the page of the routes from this."""
    contract = client.get("/api/openapi.json").json()
    for path, methods in contract["paths"].items():
        for method in methods:
            assert methods[method]["description"], f"{method} {path} has no docstring"
