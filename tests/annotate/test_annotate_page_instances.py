"""All instances on the page: proposed as outlines, accepted by keys, a click or buttons, carried to the next image."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from annotator import Server, picture
from page import Page, expect, needs_chromium, sync_api
from PIL import Image

pytestmark = needs_chromium
DISCS = [(120, 120, 50), (320, 330, 60), (520, 140, 55)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("instances") / "photos"
    folder.mkdir()
    for name in "abcd":
        Image.fromarray(picture(DISCS)).save(folder / f"{name}.png")
    made = Server(folder, "--label", "ball")
    yield made
    made.stop()


def proposed(page: Page, count: int) -> None:
    """Wait until so many objects are proposed."""
    page.page.wait_for_selector(f'canvas[data-instances="{count}"]')


def test_a_phrase_proposes_all_and_one_undo_takes_all_back(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    before = page.pixel(120, 90)
    page.page.keyboard.press("/")
    page.page.keyboard.type("cup")
    page.page.keyboard.press("Shift+Enter")
    proposed(page, 3)
    assert page.state(1)["objects"] == [], "nothing is stored before it is accepted"
    page.until(lambda: page.pixel(120, 90) != before)
    first = page.page.locator("#instance").inner_text()
    page.page.keyboard.press("Tab")
    expect(page.page.locator("#instance")).not_to_have_text(first)
    page.page.keyboard.press("ArrowLeft")
    expect(page.page.locator("#instance")).to_have_text(first)
    page.page.keyboard.press("Enter")
    page.seq(1)
    proposed(page, 2)
    page.page.keyboard.press("Shift+Enter")
    page.seq(3)
    labels = {row["id"]: row["name"] for row in server.client().get("/api/project").json()["labels"]}
    assert [labels[one["label"]] for one in page.state(1)["objects"]] == ["cup"] * 3, "the phrase is the label"
    page.page.keyboard.press("z")
    page.seq(4)
    assert len(page.state(1)["objects"]) == 1, "one undo for all that one key accepted"
    page.page.keyboard.press("y")
    page.seq(5)
    assert len(page.state(1)["objects"]) == 3
    page.close()


def test_a_click_accepts_one_escape_drops_the_others(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 2)
    page.page.keyboard.press("i")
    proposed(page, 3)
    page.click(320, 330)
    page.seq(1)
    (only,) = page.state(2)["objects"]
    assert only["area"] == pytest.approx(3.14159 * 60**2, rel=0.05)
    page.page.keyboard.press("Delete")
    proposed(page, 1)
    page.page.keyboard.press("Escape")
    proposed(page, 0)
    expect(page.page.locator("#instances")).to_be_hidden()
    page.page.keyboard.press("i")
    proposed(page, 2)
    page.page.keyboard.press("Escape")
    proposed(page, 0)
    page.close()


def test_what_was_accepted_proposes_its_like_in_the_next_image(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 3)
    page.page.keyboard.press("i")
    proposed(page, 3)
    page.page.locator("#instance-all").click()
    page.seq(3)
    page.page.keyboard.press("n")
    page.shown(4)
    proposed(page, 3)
    assert page.state(4)["objects"] == []
    expect(page.page.locator("canvas[data-proposal]")).to_have_count(0)  # instead of a click
    page.page.locator("#instance-next").click()
    page.page.locator("#instance-accept").click()
    page.seq(1)
    page.page.locator("#instance-none").click()
    proposed(page, 0)
    page.close()
