"""The page at every width, by mouse and by finger: nothing overlaps or is cut off, and all work can be done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from annotator import Server, make_folder_with_parts
from page import Page, expect, needs_chromium, sync_api

pytestmark = needs_chromium

SIZES = {390: 844, 768: 1024, 1024: 768, 1180: 820, 1920: 1080}

FAULTS = (Path(__file__).parents[1] / "support" / "layout_faults.js").read_text()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_folder_with_parts(tmp_path_factory.mktemp("layout") / "photos", 20)
    made = Server(folder, "--label", "ball", "--label", "a thing with a rather long name", model="annotator:parts")
    yield made
    made.stop()


@pytest.mark.parametrize("language", ["en", "de"])
def test_nothing_overlaps_or_is_cut_off_at_any_width(browser: sync_api.Browser, server: Server, language: str) -> None:
    page = Page(browser, server, 19, locale=language, reduced_motion="reduce")
    page.click(220, 240)
    page.page.wait_for_selector("#objects [aria-current=true]")
    page.page.evaluate(
        """() => { for (const e of document.querySelectorAll('#stage-bottom > *')) e.hidden = false;
        document.getElementById('instance').textContent = '12 / 34  0.91'; }"""
    )
    faults = {}
    # German texts are long; English is measured in the steps that the documents name.
    for width in (*range(320, 1921, 20 if language == "en" else 80), 2560):
        page.page.set_viewport_size({"width": width, "height": 800})
        found = page.page.evaluate(FAULTS)
        for drawer in ("images", "side"):
            toggle = page.page.locator(f"#toggle-{drawer}")
            if width % 100 == 0 and toggle.is_visible():
                toggle.click()
                found += page.page.evaluate(FAULTS)
                page.page.keyboard.press("Escape")
        if found:
            faults[width] = found
    assert faults == {}
    page.close()


@pytest.mark.parametrize("drawer", ["images", "side"])
def test_a_tap_beside_a_drawer_closes_it_and_is_no_click(
    browser: sync_api.Browser, server: Server, drawer: str
) -> None:
    page = Page(browser, server, 18, viewport={"width": 390, "height": 844}, has_touch=True)
    seq = page.state(18)["seq"]
    page.page.locator(f"#toggle-{drawer}").tap()
    page.page.wait_for_selector(f"#{drawer}.open")
    # While it slides away, however slowly, it takes no tap.
    page.page.locator(f"#{drawer}").evaluate("drawer => { drawer.style.transitionDuration = '600s'; }")
    page.page.touchscreen.tap(385 if drawer == "images" else 5, 400)
    page.page.wait_for_selector(f"#{drawer}:not(.open)", state="attached")
    expect(page.page.locator("#canvas")).to_be_focused()
    assert page.state(18)["seq"] == seq
    page.page.touchscreen.tap(*page.at(220, 240))
    page.seq(seq + 1)
    page.close()


def test_the_focus_stays_in_an_open_drawer(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 17, viewport={"width": 390, "height": 844})
    page.page.locator("#toggle-images").click()
    for _ in range(12):
        page.page.keyboard.press("Tab")
        inside = "document.activeElement === document.body || document.activeElement.closest('#images') !== null"
        assert page.page.evaluate(inside)
    page.page.keyboard.press("Escape")
    expect(page.page.locator("#toggle-images")).to_have_attribute("aria-expanded", "false")
    page.page.set_viewport_size({"width": 1300, "height": 844})
    page.page.locator("#accept").focus()
    expect(page.page.locator("#accept")).to_be_focused()
    page.close()


@pytest.mark.parametrize("width", SIZES)
def test_an_image_is_annotated_at_every_size(
    browser: sync_api.Browser, server: Server, width: int, tmp_path: Path
) -> None:
    """A click, a phrase, a box, undo, accept and export, by finger where the screen is a phone's or tablet's."""
    touch = width < 1024
    image = 1 + 2 * list(SIZES).index(width)
    page = Page(browser, server, image, viewport={"width": width, "height": SIZES[width]}, has_touch=touch)

    def press(selector: str) -> None:
        target = page.page.locator(selector)
        if touch:
            target.tap()
        else:
            target.click()

    def tap(x: float, y: float) -> None:
        if touch:
            page.page.touchscreen.tap(*page.at(x, y))
        else:
            page.click(x, y)

    tap(220, 240)
    page.seq(1)
    press("#phrase")
    page.page.keyboard.type("ball")
    page.page.keyboard.press("Enter")
    page.seq(2)
    press("#undo")
    page.seq(3)
    press("#tools [data-tool=box]")
    page.drag((410, 150), (590, 330))
    page.seq(4)
    press("#undo")
    page.seq(5)
    press("#redo")
    page.seq(6)
    assert any(each["box"] for each in page.state(image)["objects"])
    press("#accept-narrow" if page.page.locator("#accept-narrow").is_visible() else "#accept")
    page.shown(image + 1)
    assert page.state(image)["state"] == "done"
    if page.page.locator("#toggle-side").is_visible():
        press("#toggle-side")
    press("#export")
    assert page.page.evaluate(FAULTS) == []
    with page.page.expect_download() as download:
        press("#exporting [data-format=coco]")
    download.value.save_as(tmp_path / "annotations.json")
    assert '"annotations"' in (tmp_path / "annotations.json").read_text()
    page.close()


def test_the_first_hint_is_shown_until_it_is_dismissed(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 16)
    expect(page.page.locator("#first-run")).to_be_visible()
    page.page.locator("#first-run-close").click()
    expect(page.page.locator("#first-run")).to_be_hidden()
    below = page.page.locator("#phrase-form").bounding_box()
    assert below["y"] + below["height"] == 850, "the image takes its place"
    page.page.reload()
    page.shown(16)
    expect(page.page.locator("#first-run")).to_be_hidden()
    page.close()
