"""How objects are shown in the page: colours, names, hidden and locked ones, brightness, zoom; in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from annotator import Server, make_folder, picture
from page import Page, expect, needs_chromium, sync_api
from PIL import Image

pytestmark = needs_chromium
BLUE = (20, 40, 160)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_folder(tmp_path_factory.mktemp("display") / "photos")
    for letter in "defg":
        Image.fromarray(picture([(180, 200, 60), (460, 280, 50)])).save(folder / f"{letter}.png")
    made = Server(folder, "--label", "ball")
    yield made
    made.stop()


def two_objects(page: Page) -> None:
    page.click(180, 200)
    page.seq(1)
    page.page.keyboard.press("o")
    page.click(460, 280)
    page.seq(2)


def painted(page: Page) -> None:
    """Wait until what was asked for is painted."""
    page.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_objects_of_one_label_have_colours_of_their_own(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 2)
    two_objects(page)
    colours = page.page.eval_on_selector_all("#objects .swatch", "all => all.map((one) => one.style.background)")
    assert len(set(colours)) == 2
    page.page.locator("#colours").select_option("object")
    others = page.page.eval_on_selector_all("#objects .swatch", "all => all.map((one) => one.style.background)")
    assert len({*colours, *others}) == 4
    page.page.reload()
    page.shown(2)
    expect(page.page.locator("#colours")).to_have_value("object")  # the browser keeps it
    page.close()


def test_the_object_under_the_pointer_is_outlined_and_named(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 4)
    two_objects(page)
    page.page.mouse.move(*page.at(180, 200))
    page.page.wait_for_selector("canvas[data-hovered='1']")
    page.page.mouse.move(*page.at(320, 60))
    page.page.wait_for_selector("canvas[data-hovered='']")
    painted(page)
    named = page.pixel(180, 131)
    page.page.locator("#names").uncheck()
    painted(page)
    assert page.pixel(180, 131) == pytest.approx(BLUE, abs=6) != named, "the name is above the object"
    page.page.locator("#objects .object").first.hover()
    page.page.wait_for_selector("canvas[data-hovered='1']")
    painted(page)
    assert page.pixel(180, 131) == named, "the name of the object under the pointer is always shown"
    page.close()


def test_one_object_is_hidden_and_another_locked(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 5)
    two_objects(page)
    page.page.keyboard.press("Escape")
    page.page.mouse.move(*page.at(320, 60))
    painted(page)
    first, second = page.pixel(180, 170), page.pixel(460, 250)
    page.page.locator("#objects .object").first.get_by_role("button").first.click()
    painted(page)
    assert page.pixel(180, 170) == pytest.approx((220, 30, 20), abs=6) != first
    assert page.pixel(460, 250) == second
    page.page.mouse.move(*page.at(180, 200))
    painted(page)
    assert page.page.locator("#canvas").get_attribute("data-hovered") != "1", "nothing is there for the pointer"
    page.page.locator("#canvas").focus()
    page.page.keyboard.press("t")
    page.seq(3)
    page.page.keyboard.press("Delete")
    page.toast("locked")
    page.page.reload()
    page.shown(5)
    page.seq(3)
    page.page.locator("#objects .object").nth(1).click()
    page.page.locator("#objects .object").nth(1).get_by_role("button").nth(2).click()
    page.toast("locked")
    page.page.locator("#canvas").focus()
    page.page.keyboard.press("t")
    page.seq(4)
    page.page.keyboard.press("Delete")
    page.seq(5)
    assert [one["id"] for one in page.state(5)["objects"]] == [1]
    page.close()


def test_all_masks_are_hidden_with_their_contours_until_the_page_is_loaded_again(
    browser: sync_api.Browser, server: Server
) -> None:
    page = Page(browser, server, 6)
    page.click(180, 200)
    page.seq(1)
    page.page.mouse.move(*page.at(320, 60))
    painted(page)
    contour = page.pixel(180, 140.5)
    page.page.keyboard.press("h")
    painted(page)
    assert page.pixel(180, 140.5) != contour
    assert page.pixel(160, 200) == pytest.approx((220, 30, 20), abs=6)
    page.page.reload()
    page.shown(6)
    painted(page)
    assert page.pixel(180, 140.5) == contour
    page.close()


def test_brightness_and_contrast_of_the_image_alone(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 7)
    page.page.locator("#brightness").fill("150")
    painted(page)
    assert page.pixel(100, 400) == pytest.approx((30, 60, 240), abs=8)
    page.page.locator("#plain-image").click()
    painted(page)
    assert page.pixel(100, 400) == pytest.approx(BLUE, abs=6)
    page.close()


def test_zoom_to_the_object(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    page.click(300, 200)
    page.seq(1)
    before = page.page.locator("#zoom").inner_text()
    page.page.keyboard.press("g")
    page.page.wait_for_selector(f"#zoom:not(:text-is('{before}'))")
    assert int(page.page.locator("#zoom").inner_text().split()[0]) > 2 * int(before.split()[0])
    page.page.keyboard.press("f")
    page.page.wait_for_selector(f"#zoom:text-is('{before}')")
    page.close()
