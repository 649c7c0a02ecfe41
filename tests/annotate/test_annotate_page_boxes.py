"""Boxes and candidate masks in the page, in a real browser against a server with a network that has both."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from annotator import Server, make_folder, make_folder_with_parts
from page import Page, expect, needs_chromium, sync_api
from served import free_port

pytestmark = needs_chromium
BLUE = (20, 40, 160)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_folder_with_parts(tmp_path_factory.mktemp("boxes") / "images", 6)
    made = Server(folder, model="annotator:parts")
    yield made
    made.stop()


def shows_steps(page: Page, text: str) -> None:
    """Wait until the chip with the candidates shows a text; it is hidden where that is empty."""
    if text:
        expect(page.page.locator("#candidate")).to_have_text(text)
    expect(page.page.locator("#candidates")).to_be_visible(visible=bool(text))


def shows_tool(page: Page, name: str) -> None:
    """Wait until a tool is chosen."""
    expect(page.page.locator("#tools [aria-pressed=true]")).to_have_attribute("data-tool", name)


def test_a_box_from_corner_to_corner(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    before = page.pixel(220, 150)
    page.page.keyboard.press("r")
    shows_tool(page, "box")
    page.page.mouse.move(*page.at(340, 360))  # from the lower right
    page.page.mouse.down()
    page.page.mouse.move(*page.at(100, 130), steps=4)
    page.until(lambda: page.pixel(120, 140) != pytest.approx(BLUE, abs=6))  # the rectangle is tinted while it is drawn
    assert page.state(1)["seq"] == 0
    page.page.mouse.move(*page.at(100, 120))
    page.page.mouse.up()
    page.seq(1)
    (found,) = page.state(1)["objects"]
    assert found["box"] == pytest.approx([100, 120, 340, 360], abs=1.5)
    assert page.pixel(220, 150) != before, "the mask is painted"
    shows_steps(page, "")  # its three masks are equal
    shows_tool(page, "click")
    page.click(220, 240, "right")
    page.seq(2)
    (refined,) = page.state(1)["objects"]
    assert refined["area"] < found["area"]
    assert refined["box"] == found["box"]
    page.page.keyboard.press("z")
    page.seq(3)
    page.page.keyboard.press("z")
    page.seq(4)
    assert page.state(1)["objects"] == []
    page.page.keyboard.press("y")
    page.seq(5)
    assert page.state(1)["objects"] == [found]
    page.page.reload()
    page.shown(1)
    page.seq(5)
    assert page.pixel(220, 150) != before
    page.close()


def test_a_box_that_is_cancelled_too_small_or_partly_outside(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 2)
    page.page.keyboard.press("r")
    page.page.mouse.move(*page.at(100, 120))
    page.page.mouse.down()
    page.page.mouse.move(*page.at(340, 360), steps=3)
    page.page.keyboard.press("Escape")
    page.page.mouse.move(*page.at(300, 300))
    page.page.mouse.up()
    x, y = page.at(200, 200)
    for dx, dy in ((0, 0), (2, 2), (200, 2), (2, 200)):
        page.page.mouse.move(x, y)
        page.page.mouse.down()
        page.page.mouse.move(x + dx, y + dy)
        page.page.mouse.up()
    page.page.mouse.click(x, y, button="right")
    shows_tool(page, "box")  # it is still to be drawn
    assert page.state(2)["seq"] == 0
    page.drag((-12, -10), (340, 360))
    page.seq(1)
    assert page.state(2)["objects"][0]["box"] == pytest.approx([0, 0, 340, 360], abs=1.5)
    page.close()


def test_keys_step_from_part_to_group(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 3)
    shows_steps(page, "")
    page.click(220, 240)
    page.seq(1)
    whole = page.state(3)["objects"][0]["area"]
    shows_steps(page, "2 / 3")
    page.page.keyboard.press("q")
    page.seq(2)
    part = page.state(3)["objects"][0]["area"]
    shows_steps(page, "1 / 3")
    page.page.keyboard.press("q")
    page.page.keyboard.press("w")
    page.page.keyboard.press("W")  # faster than it is answered
    page.seq(4)
    group = page.state(3)["objects"][0]["area"]
    shows_steps(page, "3 / 3")
    assert part < whole < group
    page.page.keyboard.press("w")
    page.page.keyboard.press("z")
    page.seq(5)
    shows_steps(page, "2 / 3")
    assert page.state(3)["objects"][0]["area"] == whole
    page.page.keyboard.press("o")
    shows_steps(page, "")
    page.page.keyboard.press("q")
    page.page.keyboard.press("Tab")
    shows_steps(page, "2 / 3")
    page.page.reload()
    page.shown(3)
    shows_steps(page, "2 / 3")
    page.page.locator("#larger").click()
    page.seq(6)
    expect(page.page.locator("#larger")).to_be_disabled()
    assert page.state(3)["objects"][0]["area"] == group
    page.close()


def test_the_wheel_steps_with_alt_and_zooms_without(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 4)
    page.click(220, 240)
    page.seq(1)
    zoom = page.page.locator("#zoom").inner_text()
    page.page.keyboard.down("Alt")
    page.page.mouse.wheel(0, 100)
    page.seq(2)
    shows_steps(page, "1 / 3")
    page.page.mouse.wheel(0, 100)  # there is no smaller one
    page.page.mouse.wheel(0, -20)
    page.page.mouse.wheel(0, -25)  # together one step
    page.seq(3)
    shows_steps(page, "2 / 3")
    assert page.page.locator("#zoom").inner_text() == zoom
    page.page.keyboard.up("Alt")
    page.page.mouse.wheel(0, -100)
    expect(page.page.locator("#zoom")).not_to_have_text(zoom)
    assert page.state(4)["seq"] == 3
    page.close()


def test_a_finger_draws_a_box_and_taps_the_chip(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 5, has_touch=True)
    page.page.locator("#tools [data-tool=box]").tap()
    session = page.context.new_cdp_session(page.page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": x, "y": y, "id": 0} for x, y in points]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    touch("touchStart", page.at(100, 120))
    touch("touchMove", page.at(200, 300))
    touch("touchMove", page.at(340, 360))
    touch("touchEnd")
    page.seq(1)
    assert page.state(5)["objects"][0]["box"] == pytest.approx([100, 120, 340, 360], abs=1.5)
    page.page.keyboard.press("o")
    page.page.touchscreen.tap(*page.at(500, 240))
    page.seq(2)
    page.page.locator("#smaller").tap()
    page.seq(3)
    assert page.state(5)["objects"][1]["choices"] == 1
    page.close()


def test_a_box_by_keyboard_alone(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 6)
    for key in ("c", "r", "Enter", *["Shift+ArrowLeft"] * 3, *["Shift+ArrowUp"] * 2, "Enter"):
        page.page.keyboard.press(key)
    page.seq(1)
    x0, y0, x1, y1 = page.state(6)["objects"][0]["box"]
    assert (x1, y1) == (320, 240)
    assert x0 < x1
    assert y0 < y1
    page.page.keyboard.press("?")
    for text in ("box", "candidate"):
        expect(page.page.locator("#keys")).to_contain_text(text)
    page.close()


def test_one_mask_and_no_box_show_nothing_of_it(browser: sync_api.Browser, tmp_path: Path) -> None:
    server = Server(make_folder(tmp_path / "images"))
    page = Page(browser, server, 1)
    button = page.page.locator("#tools [data-tool=box]")
    expect(button).to_be_disabled()
    expect(button).to_have_attribute("title", re.compile("know no boxes"))
    page.page.keyboard.press("r")
    page.toast("know no boxes")
    page.click(300, 200)
    page.seq(1)
    shows_steps(page, "")
    for key in ("q", "w"):
        page.page.keyboard.press(key)
    zoom = page.page.locator("#zoom").inner_text()
    page.page.keyboard.down("Alt")
    page.page.mouse.wheel(0, -100)
    expect(page.page.locator("#zoom")).not_to_have_text(zoom)
    page.page.keyboard.up("Alt")
    page.page.keyboard.press("?")
    expect(page.page.locator("#keys")).to_be_visible()
    expect(page.page.locator("#keys")).not_to_contain_text("candidate")
    assert page.state(1)["seq"] == 1
    page.close()
    server.stop()


def test_a_study_shows_neither(browser: sync_api.Browser, tmp_path: Path) -> None:
    server = Server(make_folder_with_parts(tmp_path / "images"), "--study", "click", model="annotator:parts")
    page = Page(browser, server, 1)
    expect(page.page.locator("#tools [data-tool=box]")).to_have_attribute("title", re.compile("study of 'click'"))
    page.click(220, 240)
    page.seq(1)
    shows_steps(page, "")
    page.page.keyboard.press("w")
    page.click(230, 240)
    page.seq(2)
    page.close()
    server.stop()


def test_a_step_waits_for_the_click_before_it(browser: sync_api.Browser, tmp_path: Path) -> None:
    """A step on its way when the server is killed is sent again, once."""
    folder = make_folder_with_parts(tmp_path / "images")
    port = str(free_port())
    server = Server(folder, "--port", port, model="annotator:parts")
    page = Page(browser, server, 1)
    page.click(220, 240)
    page.seq(1)
    server.kill()
    page.page.keyboard.press("q")
    page.page.wait_for_selector("#banner >> text=kept here")
    page.server = server = Server(folder, "--port", port, model="annotator:parts")
    page.seq(2)
    shows_steps(page, "1 / 3")
    page.close()
    server.stop()
