"""Fine-tuning from the annotator: start, progress, cancel, interruption, the better weights in use, and back again."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from annotator import RedRuntime, Server, act, click, make, make_folder, open_client
from page import Page, needs_chromium, sync_api
from starlette.testclient import TestClient

from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.finetuning import FineTuning, in_use_below
from saywhere.annotate.inference.proposals import PhraseProposer
from saywhere.annotate.service import Annotator
from saywhere.errors import SaywhereError

PROGRAM = """
import json, os, sys, time
from pathlib import Path
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
out, mode = Path(options["--out"]), Path(sys.argv[1]).parents[1].joinpath("mode").read_text()
Path(options["--status"]).write_text(json.dumps({"phase": "training", "done": 0, "total": 1000}))
if mode == "fail":
    sys.exit("saywhere: data 'x': 2 objects in 1 image; give at least two images, one is held out")
while mode == "wait" and not (out / "begun").exists():
    out.mkdir(exist_ok=True); (out / "begun").write_text("")
    time.sleep(60)
out.mkdir(exist_ok=True)
(out / "weights.safetensors").write_text("new")
difference = {"figure": "noc90", "a": 4.0, "b": 2.5, "low": -2.0, "high": -1.0}
(out / "result.json").write_text(json.dumps({"improved": mode != "worse", "verdict": "better", "notes": ["a note"],
    "objects": {"trained": 30, "held_out": 10}, "differences": [difference]}))
"""


class NewRuntime(RedRuntime):
    """The network with new weights."""

    name, digest = "new", "00new"


class Tuned:
    """A project whose fine-tuning is a small program."""

    def __init__(self, annotator: Annotator) -> None:
        self.annotator, self.folder = annotator, annotator.folder.root
        self.used: list[Path | None] = []
        self.new = NewRuntime()
        made = self.folder / ".saywhere" / "finetuned"
        made.mkdir(parents=True)
        self.mode = made / "mode"
        annotator._load = self._load
        self.open()
        self.client: TestClient = open_client(annotator)

    def open(self) -> None:
        """As when the server starts."""
        command = [sys.executable, "-c", PROGRAM]
        annotator = self.annotator
        annotator.finetuning = FineTuning(
            annotator.store, annotator.folder, Path("base"), annotator._use_weights, command
        )
        self.client = open_client(annotator)

    def _load(self, weights: Path | None) -> tuple[RedRuntime, None, PhraseProposer]:
        self.used.append(weights)
        return RedRuntime() if weights is None else self.new, None, PhraseProposer()

    def finish_an_image(self) -> None:
        act(self.client, 1, click(300, 200)).raise_for_status()
        act(self.client, 1, {"kind": "mark", "value": "done"}).raise_for_status()

    def wait(self, until: Callable[[dict], bool]) -> dict:
        for _ in range(600):
            state = self.client.get("/api/finetuning").json()
            if until(state):
                return state
            time.sleep(0.1)
        raise AssertionError(f"still {state}")

    def run(self, mode: str, status: str) -> dict:
        self.mode.write_text(mode)
        self.client.post("/api/finetuning").raise_for_status()
        return self.wait(lambda state: state["status"] == status)


@pytest.fixture
def tuned(annotator: Annotator) -> Iterator[Tuned]:
    made = Tuned(annotator)
    made.finish_an_image()
    yield made
    annotator.finetuning.close()


def test_new_weights_are_used_after_they_were_accepted_and_until_that_is_undone(tuned: Tuned) -> None:
    state = tuned.run("good", "finished")
    assert (state["trained"], state["held_out"], state["improved"]) == (30, 10, True)
    assert state["figures"] == [{"figure": "noc90", "before": 4.0, "after": 2.5, "low": -2.0, "high": -1.0}]
    assert not state["in_use"]
    assert tuned.client.get("/api/project").json()["model"] == "red"
    assert tuned.client.post("/api/finetuning/accept").json()["in_use"]
    kept = in_use_below(tuned.folder)
    assert kept is not None
    assert kept.read_text() == "new"
    assert tuned.client.get("/api/project").json()["model"] == "new"
    answer = act(tuned.client, 2, click(180, 200)).json()
    assert answer["objects"]
    assert tuned.new.encoded, "the click was answered by the new network"
    assert not tuned.client.post("/api/finetuning/undo").json()["in_use"]
    assert in_use_below(tuned.folder) is None
    assert tuned.used == [kept, None]
    assert tuned.client.get("/api/project").json()["model"] == "red"


def test_weights_that_are_no_better_are_not_used(tuned: Tuned) -> None:
    assert not tuned.run("worse", "finished")["improved"]
    answer = tuned.client.post("/api/finetuning/accept")
    assert answer.status_code == 422
    assert "no better" in answer.json()["error"]
    assert tuned.used == []


def test_why_it_failed_and_again(tuned: Tuned) -> None:
    assert tuned.run("fail", "failed")["message"].startswith("data 'x': 2 objects in 1 image")
    assert tuned.run("good", "finished")["message"] is None


def test_cancelled(tuned: Tuned) -> None:
    state = tuned.run("wait", "running")
    assert state["phase"] in ("before", "training")
    assert tuned.client.delete("/api/finetuning").json()["status"] == "none"
    assert not (tuned.folder / ".saywhere" / "finetuned" / "run").exists()


def test_a_server_that_ends_interrupts_it_and_the_next_goes_on(tuned: Tuned) -> None:
    tuned.run("wait", "running")
    begun = tuned.folder / ".saywhere" / "finetuned" / "run" / "out" / "begun"
    tuned.wait(lambda _: begun.is_file())
    tuned.annotator.finetuning.close()
    tuned.open()
    assert tuned.client.get("/api/finetuning").json()["status"] == "interrupted"
    tuned.client.post("/api/finetuning").raise_for_status()
    tuned.wait(lambda state: state["status"] == "finished")
    assert begun.is_file(), "what it had done is kept"


def test_what_is_missing_is_one_line(annotator: Annotator, monkeypatch: pytest.MonkeyPatch) -> None:
    client = open_client(annotator)
    assert "our own network" in client.get("/api/finetuning").json()["problem"]
    assert "our own network" in client.post("/api/finetuning/accept").json()["error"]
    assert client.post("/api/finetuning/undo").json()["status"] == "none"
    tuned = Tuned(annotator)
    tuned.mode.write_text("good")
    answer = tuned.client.post("/api/finetuning")
    assert (answer.status_code, "no image is done" in answer.json()["error"]) == (422, True)
    monkeypatch.setattr("saywhere.annotate.finetuning.NEEDED", ("no_such_package",))
    assert "pip install 'saywhere[torch]'" in tuned.client.get("/api/finetuning").json()["problem"]
    assert tuned.client.post("/api/finetuning/accept").status_code == 422
    assert tuned.client.post("/api/finetuning/undo").status_code == 200
    assert tuned.used == [], "nothing was in use"


@pytest.mark.slow  # a process of low priority, which waits as long as other tests compute
def test_the_command_itself_says_that_there_are_too_few(tmp_path: Path) -> None:
    pytest.importorskip("lightning_fabric")
    database = Database(default_database_url(make_folder(tmp_path / "photos")))
    annotator = make(tmp_path / "photos", database)
    tuning = FineTuning(annotator.store, annotator.folder, Path("saywhere"), lambda _: None)
    annotator.finetuning = tuning
    client = open_client(annotator)
    for image in (1, 2):
        act(client, image, click(300 if image == 1 else 180, 200)).raise_for_status()
        act(client, image, {"kind": "mark", "value": "done"}).raise_for_status()
    tuning.start()
    for _ in range(900):
        state = tuning.state()
        if state.status != "running":
            break
        time.sleep(0.2)
    assert state.status == "failed"
    assert "2 objects in 2 images leave 1" in (state.message or "")
    annotator.close()
    database.close()


@needs_chromium
def test_the_dialog(browser: sync_api.Browser, tmp_path: Path) -> None:
    """What the page shows of each state; the states are those that the server's tests above have seen."""
    server = Server(make_folder(tmp_path / "photos"))
    none = {"problem": None, "status": "none", "phase": None, "share": 0.0, "message": None, "figures": [],
            "trained": 0, "held_out": 0, "improved": False, "verdict": None, "notes": [], "in_use": False}  # fmt: skip
    figure = {"figure": "noc90", "before": 4.0, "after": 2.5, "low": -2.0, "high": -1.0}
    finished = {**none, "status": "finished", "figures": [figure], "trained": 30, "held_out": 10, "improved": True,
                "verdict": "better"}  # fmt: skip
    states, asked = {"now": none}, []

    def answer(route: sync_api.Route) -> None:
        request = route.request
        what = f"{request.method} {request.url.partition('/api/')[2]}"
        if what != "GET finetuning":
            asked.append(what)
        if what == "POST finetuning":
            states["now"] = {**none, "status": "running", "phase": "training", "share": 0.25}
        elif what.endswith("accept"):
            states["now"] = {**finished, "in_use": True}
        elif what.endswith("undo"):
            states["now"] = finished
        route.fulfill(status=200, content_type="application/json", body=json.dumps(states["now"]))

    try:
        page = Page(browser, server, 1)
        page.page.locator("#finetune").click()
        expect = sync_api.expect
        status = page.page.locator("#finetune-status")
        expect(status).to_contain_text("our own network")  # the server's own answer: its network is a stand-in
        expect(page.page.locator("#finetune-start")).to_be_hidden()
        page.page.locator("#finetune-close").click()
        page.page.route("**/api/finetuning**", answer)
        page.page.locator("#finetune").click()
        page.page.locator("#finetune-start").click()
        expect(page.page.locator("#finetune-progress")).to_have_attribute("aria-valuenow", "25")
        expect(page.page.locator("#finetune-cancel")).to_be_visible()
        states["now"] = finished  # the page asks by itself
        expect(page.page.locator("#finetune-figures")).to_contain_text("-1.5 (-2; -1)")
        expect(status).to_contain_text("30 objects")
        page.page.locator("#finetune-accept").click()
        expect(page.page.locator("#finetune-undo")).to_be_visible()
        expect(page.page.locator("#finetune-accept")).to_be_hidden()
        page.page.locator("#finetune-undo").click()
        expect(page.page.locator("#finetune-undo")).to_be_hidden()
        assert asked == ["POST finetuning", "POST finetuning/accept", "POST finetuning/undo"]
        assert page.faults == []
    finally:
        server.stop()


def test_weights_that_cannot_be_loaded_leave_the_others_in_use(tuned: Tuned) -> None:
    tuned.run("good", "finished")

    def refuse(_weights: Path | None) -> None:
        raise SaywhereError("weights 'x': damaged")

    tuned.annotator._load = refuse
    assert tuned.client.post("/api/finetuning/accept").status_code == 422
    assert in_use_below(tuned.folder) is None
    assert tuned.client.get("/api/project").json()["model"] == "red"
