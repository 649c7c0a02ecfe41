"""From one image to the next in the page: skipping, filters, unreadable images, locks of tabs that are gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from annotator import Server, act, make_folder, picture
from page import Page, expect, needs_chromium, sync_api
from PIL import Image

pytestmark = needs_chromium


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    folder = make_folder(tmp_path / "photos")
    for name in ("d", "edge"):
        Image.fromarray(picture([(200, 150, 50), (450, 300, 70)])).save(folder / f"{name}.png")
    made = Server(folder, "--label", "ball")
    yield made
    made.stop()


def test_skipping_is_asked_for_and_undone_from_the_next_image(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    page.click(300, 200)
    page.seq(1)
    page.page.keyboard.press("s")
    page.page.wait_for_selector("#offer >> text=will not be exported")
    assert page.state(1)["state"] == "started"
    page.page.keyboard.press("d")
    page.shown(2)
    page.page.keyboard.press("a")
    page.shown(1)
    page.page.keyboard.press("s")
    page.page.wait_for_selector("#offer >> text=will not be exported")
    page.page.keyboard.press(".")
    page.shown(2)
    assert page.state(1)["state"] == "skipped"
    page.page.wait_for_selector("#offer >> text=a-one.png is skipped")
    page.page.keyboard.press("z")
    page.shown(1)
    page.seq(3)
    assert page.state(1)["state"] == "started"
    page.page.locator("#skip").click()
    page.page.locator("#skip").click()
    page.shown(2)
    page.page.locator("#skip").click()
    page.shown(3)
    assert [page.state(image)["state"] for image in (1, 2)] == ["skipped", "skipped"]
    page.close()


def test_next_and_previous_keep_to_the_filter(browser: sync_api.Browser, server: Server) -> None:
    for image, value in ((2, "done"), (3, "skipped"), (4, "done")):
        act(server.client("another-page"), image, {"kind": "mark", "value": value}).raise_for_status()
    page = Page(browser, server, 1)

    def choose(name: str, rows: int) -> None:
        page.page.locator(f"#filter [data-filter={name}]").click()
        expect(page.page.locator(".row")).to_have_count(rows)

    choose("done", 2)
    page.page.keyboard.press("d")
    page.shown(2)
    page.page.keyboard.press("d")
    page.shown(4)
    page.page.keyboard.press("d")
    page.shown(2)
    choose("skipped", 1)
    page.page.keyboard.press("a")
    page.shown(3)
    choose("todo", 2)
    page.page.keyboard.press("d")
    page.shown(5)
    page.page.locator("#search").fill("edge")
    expect(page.page.locator(".row")).to_have_count(1)
    page.click(200, 150)
    page.seq(1)
    page.page.keyboard.press("n")
    page.toast("of this filter")
    page.close()


def test_rescan_says_what_it_found_and_a_damaged_image_is_skipped(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 5)
    root = server.folder
    (root / "f-damaged.jpg").write_bytes(b"no image at all")
    (root / "g.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
    (root / "notes.txt").write_text("a note")
    page.page.locator("#rescan").click()
    for text in ("New images: 2", "f-damaged.jpg", "HEIC", "1 .txt"):
        expect(page.page.locator("#found-text")).to_contain_text(text)
    page.page.locator("#found-close").click()
    page.page.locator(".row", has_text="f-damaged.jpg").click()
    page.page.wait_for_selector("#accept:disabled")
    page.page.keyboard.press("s")
    page.page.keyboard.press("s")
    page.page.wait_for_selector(".row[data-state=skipped] >> text=f-damaged.jpg")
    assert page.state_of(6)["state"] == "skipped"
    page.close()


def test_hidden_masks_are_not_hidden_after_a_reload(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    page.click(300, 200)
    page.seq(1)
    painted = page.pixel(280, 190)
    page.page.keyboard.press("h")
    page.until(lambda: page.pixel(280, 190) == pytest.approx((220, 30, 20), abs=6) != painted)
    page.page.reload()
    page.shown(1)
    page.seq(1)
    assert page.pixel(280, 190) == painted
    page.close()


def test_the_lock_of_a_tab_that_is_gone_is_released(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    page.click(300, 200)
    page.seq(1)
    copy = page.context.new_page()
    copy.goto(f"{server.url}#image=1")
    copy.wait_for_selector("#banner >> text=is editing this image")
    # A tab that crashes says nothing to the server.
    page.context.route(
        "**/lock", lambda route: route.abort() if route.request.method == "DELETE" else route.continue_()
    )
    page.page.close()
    page.context.unroute("**/lock")
    page.page = page.context.new_page()
    copy.close()
    page.page.goto(f"{server.url}#image=1")
    page.shown(1)
    page.page.wait_for_selector("#banner", state="hidden")
    page.click(310, 210)
    page.seq(2)
    page.close()
