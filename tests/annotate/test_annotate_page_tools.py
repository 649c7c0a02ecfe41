"""Lasso, polygon, vertices, boxes without a mask, holes, crumbs, order and copies in the page; in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from annotator import Server, mask_of, picture
from page import Page, expect, needs_chromium, sync_api
from PIL import Image

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tools") / "photos"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(picture([(300, 200, 60)])).save(folder / f"{number}.png")
    made = Server(folder, "--label", "ball")
    yield made
    made.stop()


def test_lasso_adds_and_takes_away_holes_are_filled_and_crumbs_dropped(
    browser: sync_api.Browser, server: Server
) -> None:
    page = Page(browser, server, 1)
    page.page.keyboard.press("u")
    page.drag((100, 100), (200, 100), (200, 180), (100, 180), (100, 110))
    page.seq(1)
    assert page.state(1)["objects"][0]["area"] == pytest.approx(8000, rel=0.03)
    page.page.mouse.move(*page.at(130, 120))
    page.page.mouse.down(button="right")
    for point in ((160, 120), (160, 150), (130, 150), (130, 125)):
        page.page.mouse.move(*page.at(*point), steps=4)
    page.page.mouse.up(button="right")
    page.seq(2)
    assert not mask_of(page.state(1), 1)[135, 145]
    page.page.locator("#object-tools [data-do=holes]").click()
    page.seq(3)
    assert mask_of(page.state(1), 1)[135, 145]
    page.drag((400, 300), (420, 300), (420, 320), (400, 320), (400, 303))
    page.seq(4)
    page.page.locator("#object-tools [data-do=crumbs]").click()
    page.seq(5)
    mask = mask_of(page.state(1), 1)
    assert (mask[310, 410], mask[135, 145]) == (False, True)
    page.page.keyboard.press("z")
    page.seq(6)
    assert mask_of(page.state(1), 1)[310, 410]
    page.close()


def test_a_polygon_is_drawn_and_its_vertices_are_edited(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 2)
    page.page.keyboard.press("p")
    for point in ((100, 100), (200, 100), (250, 250), (200, 200)):
        page.click(*point)
    page.page.keyboard.press("Backspace")
    page.click(100, 200)
    assert page.state(2)["seq"] == 0
    page.click(101, 101)  # the first vertex closes it
    page.seq(1)
    drawn = mask_of(page.state(2), 1)
    assert (drawn[150, 150], drawn[240, 240], drawn[198, 110]) == (True, True, True)
    page.page.keyboard.press("m")
    page.page.wait_for_selector("canvas[data-vertices='4']")
    page.drag((250, 250), (200, 200))
    page.seq(2)
    assert not mask_of(page.state(2), 1)[240, 240]
    page.drag((150, 100), (150, 50))  # an edge: a new vertex
    page.seq(3)
    assert mask_of(page.state(2), 1)[75, 150]
    page.click(150, 50, "right")
    page.seq(4)
    assert not mask_of(page.state(2), 1)[75, 150]
    expect(page.page.locator("#canvas")).to_have_attribute("data-vertices", "4")
    page.page.keyboard.press("z")
    page.seq(5)
    assert mask_of(page.state(2), 1)[75, 150]
    page.page.wait_for_selector("canvas[data-vertices='5']")
    page.close()


def test_a_box_alone_is_drawn_ordered_and_copied_to_the_next_image(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 3)
    page.click(300, 200)
    page.seq(1)
    page.page.keyboard.press("k")
    page.drag((100, 120), (180, 260))
    page.seq(2)
    found = page.state(3)["objects"][1]
    assert found["mask"] is None
    assert found["rectangle"] == pytest.approx([100.5, 120.5, 180.5, 260.5], abs=1.5)
    page.page.keyboard.press("m")
    page.page.wait_for_selector("canvas[data-vertices='4']")
    page.drag((180, 260), (220, 300))
    page.seq(3)
    moved = page.state(3)["objects"][1]["rectangle"]
    assert moved == pytest.approx([100.5, 120.5, 220.5, 300.5], abs=1.5)
    page.page.locator("#object-tools [data-do=front]").click()
    page.seq(4)
    assert [one["z_order"] for one in page.state(3)["objects"]] == [0, 1]
    page.page.locator("#object-tools [data-do=copy-all]").click()
    page.shown(4)
    page.seq(2)
    copied, source = page.state(4)["objects"], page.state(3)["objects"]
    assert [(one["area"], one["rectangle"], one["z_order"]) for one in copied] == [
        (one["area"], one["rectangle"], one["z_order"]) for one in source
    ]
    page.close()
