"""What a click, a label key and a phrase mean in the page: never a wrong label, never a duplicate, always undone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from annotator import Server, make_folder, picture
from page import Page, expect, needs_chromium, sync_api
from PIL import Image

pytestmark = needs_chromium
LEFT, RIGHT, NEAR = (200, 150), (450, 300), (200, 205)  # two discs, and a place 5 pixels below the left one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_folder(tmp_path_factory.mktemp("meaning") / "photos")
    for letter in "defghijk":
        Image.fromarray(picture([(200, 150, 50), (450, 300, 70)])).save(folder / f"{letter}.png")
    made = Server(folder, "--label", "ball", "--label", "thing")
    yield made
    made.stop()


def labels(server: Server) -> dict[str, int]:
    return {row["name"]: row["id"] for row in server.client().get("/api/project").json()["labels"]}


def objects(page: Page, image: int) -> list[tuple[int | None, int]]:
    """Label and number of clicks of each object."""
    return [(one["label"], len(one["clicks"])) for one in page.state(image)["objects"]]


def test_a_click_elsewhere_begins_an_object(browser: sync_api.Browser, server: Server) -> None:
    page, ball = Page(browser, server, 4), labels(server)["ball"]
    page.click(*LEFT)
    page.seq(1)
    page.click(*RIGHT)
    page.seq(2)
    assert objects(page, 4) == [(ball, 1), (ball, 1)]
    page.page.wait_for_selector("#offer:visible")
    page.page.keyboard.press(".")
    page.seq(4)
    assert objects(page, 4) == [(ball, 2)], "it belongs to the first one after all"
    page.page.keyboard.press("z")
    page.seq(5)
    page.click(*NEAR)
    page.seq(6)
    assert objects(page, 4) == [(ball, 2)], "what is near is a correction"
    page.page.locator("#offer button").click()
    page.seq(8)
    assert objects(page, 4) == [(ball, 1), (ball, 1)], "or a new object, where that was intended"
    page.close()


def test_a_click_on_another_object_selects_it(browser: sync_api.Browser, server: Server) -> None:
    page, ball = Page(browser, server, 5), labels(server)["ball"]
    page.click(*LEFT)
    page.seq(1)
    page.click(*RIGHT)
    page.seq(2)
    page.click(*LEFT)
    page.page.wait_for_selector("#objects .object:first-child[aria-current=true]")
    assert page.state(5)["seq"] == 2, "nothing is changed"
    page.page.keyboard.press(",")
    page.seq(3)
    assert objects(page, 5) == [(ball, 1), (ball, 2)], "added to the one that was selected before"
    page.click(*LEFT)
    page.page.keyboard.press(".")
    page.seq(4)
    assert len(objects(page, 5)) == 3, "or a new object there"
    page.close()


def test_an_image_that_is_done_stays_done_and_gets_no_duplicate(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 6)
    page.click(*LEFT)
    page.seq(1)
    page.page.keyboard.press("n")
    page.shown(7)
    page.page.keyboard.press("a")
    page.shown(6)
    page.click(*LEFT)
    page.page.wait_for_selector("#objects .object[aria-current=true]")
    page.click(210, 150)
    page.seq(3)
    state = page.state(6)
    assert (len(state["objects"]), state["state"]) == (1, "done")
    expect(page.page.locator(".row[data-id='6']")).to_have_attribute("data-state", "done")
    page.close()


def test_a_label_key_is_for_the_next_object(browser: sync_api.Browser, server: Server) -> None:
    page, known = Page(browser, server, 7), labels(server)
    page.click(*LEFT)
    page.seq(1)
    page.page.keyboard.press("2")
    page.click(*RIGHT)
    page.seq(2)
    assert objects(page, 7) == [(known["ball"], 1), (known["thing"], 1)]
    page.page.keyboard.press("F2")
    page.page.keyboard.press("1")
    page.seq(3)
    assert objects(page, 7)[1] == (known["ball"], 1), "relabelled by an act of its own"
    page.page.keyboard.press("z")
    page.seq(4)
    assert objects(page, 7)[1] == (known["thing"], 1)
    page.page.keyboard.press("1")
    page.page.keyboard.press(".")
    page.seq(5)
    assert objects(page, 7)[1] == (known["ball"], 1), "or where the notice offers it"
    page.close()


def test_what_is_said_is_the_label(browser: sync_api.Browser, server: Server) -> None:
    page, known = Page(browser, server, 8), labels(server)
    page.page.keyboard.press("/")
    page.page.keyboard.type("Thing")
    page.page.keyboard.press("Enter")
    page.seq(1)
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#toast.shown")
    assert page.state(8)["state"] == "started", "a second Enter accepts nothing"
    assert [one["label"] for one in page.state(8)["objects"]] == [known["thing"]]
    page.page.keyboard.press("o")
    page.page.keyboard.press("/")
    page.page.keyboard.type("hood")
    page.page.keyboard.press("Enter")
    page.seq(2)
    assert page.state(8)["objects"][1]["label"] is None
    page.page.wait_for_selector("#offer:visible")
    page.page.keyboard.press(".")
    page.seq(3)
    assert page.state(8)["objects"][1]["label"] == labels(server)["hood"]
    page.page.keyboard.press("z")
    page.seq(4)
    page.page.keyboard.press("z")
    expect(page.page.locator("#labels")).not_to_contain_text("hood")
    assert "hood" not in labels(server)
    page.page.keyboard.press("y")
    page.page.wait_for_selector("#labels >> text=hood")
    page.page.keyboard.press("y")
    page.seq(5)
    assert page.state(8)["objects"][1]["label"] == labels(server)["hood"]
    page.close()


def test_labels_are_renamed_merged_and_deleted(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 9)
    page.page.locator("#label-name").fill("Spoon ")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("#labels [aria-selected=true] >> text=Spoon")
    page.click(*LEFT)
    page.seq(1)

    def change(label: str) -> None:
        row = page.page.locator(".label", has_text=label)
        row.hover()
        row.locator("button").click()

    change("Spoon")
    page.page.wait_for_selector("#label-usage >> text=1 object")
    page.page.locator("#label-new-name").fill(" big  spoon ")
    page.page.locator("#label-form .primary").click()
    page.page.wait_for_selector("#objects >> text=big spoon")
    change("big spoon")
    page.page.locator("#label-into").select_option(label="thing")
    page.page.locator("#label-merge").click()
    page.page.wait_for_selector("#objects >> text=thing")
    page.page.locator("#offer button").click()
    page.page.wait_for_selector("#objects >> text=big spoon")
    change("big spoon")
    page.page.locator("#label-delete").click()
    page.page.wait_for_selector("#objects >> text=Object 1")
    assert page.state(9)["objects"][0]["label"] is None
    page.page.keyboard.press("z")
    page.page.wait_for_selector("#objects >> text=big spoon")
    page.close()
