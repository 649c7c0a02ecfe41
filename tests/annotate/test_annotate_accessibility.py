"""The annotator's page with a keyboard, with a screen reader and with weak eyes; axe-core finds no violation."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from annotator import Server, make_folder_with_parts
from axe import violations
from page import Page, expect, needs_chromium, sync_api

from saywhere.annotate.web.pages import STATIC


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [":root {", ':root[data-theme="dark"] {'])
def test_the_themes_have_contrast(theme: str) -> None:
    block = (STATIC / "style.css").read_text().partition(theme)[2].partition("}")[0]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    pairs = [(text, ground) for text in ("text", "quiet", "accent", "bad") for ground in ("ground", "panel", "hover")]
    pairs += [("text", "accent-soft"), ("quiet", "accent-soft"), ("accent", "accent-soft"), ("on-accent", "accent")]
    low = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert {pair: round(value, 2) for pair, value in low.items() if value < 4.5} == {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = make_folder_with_parts(tmp_path_factory.mktemp("accessible") / "photos", 30)
    made = Server(folder, "--label", "ball", "--label", "cup", model="annotator:parts")
    yield made
    made.stop()


@needs_chromium
@pytest.mark.parametrize(("theme", "width"), [("light", 390), ("dark", 1180)])
def test_axe_finds_nothing(browser: sync_api.Browser, server: Server, theme: str, width: int) -> None:
    image = [390, 1180].index(width) + 1
    viewport = {"width": width, "height": 844}
    page = Page(browser, server, image, color_scheme=theme, viewport=viewport, reduced_motion="reduce")
    page.click(220, 240)
    page.seq(1)
    found = {"page": violations(page)}
    for drawer in ("images", "side"):
        toggle = page.page.locator(f"#toggle-{drawer}")
        if toggle.is_visible():
            toggle.click()
            found[drawer] = violations(page)
            page.page.keyboard.press("Escape")
    dialogs = page.page.eval_on_selector_all("dialog", "all => all.map((dialog) => dialog.id)")
    assert len(dialogs) > 1
    for dialog in dialogs:
        # What names the object that the dialog is opened for.
        page.page.evaluate("id => { document.querySelector(`#${id} h2`).textContent ||= id; }", dialog)
        page.page.evaluate("id => document.getElementById(id).showModal()", dialog)
        found[dialog] = violations(page)
        page.page.keyboard.press("Escape")
    page.page.goto(f"{server.url}stats")
    page.page.wait_for_selector("html[data-ready]")
    found["stats"] = violations(page)
    assert {part: lines for part, lines in found.items() if lines} == {}
    page.close()


@needs_chromium
class TestKeyboard:
    def test_every_control_is_reached_once(self, browser: sync_api.Browser, server: Server) -> None:
        """Tab goes through all controls in the order in which they are seen, and around again."""
        page = Page(browser, server, 5)
        page.click(220, 240)
        page.seq(1)
        page.page.locator("#search").focus()
        seen: list[str] = []
        # The canvas keeps Tab for the objects; at the last one it lets it go.
        for _ in range(80):
            page.page.keyboard.press("Tab")
            active = page.page.evaluate(
                """() => { const e = document.activeElement, s = getComputedStyle(e);
                return [e.id || e.dataset.tool || e.dataset.sign || e.dataset.filter || e.title || e.textContent.trim(),
                    e === document.body || e.matches(':focus-visible') && s.outlineStyle !== 'none']; }"""
            )
            assert active[1], f"the focus is not seen on {active[0]}"
            if active[0] == "search":
                break
            seen.append(active[0])
        assert seen.count("list") == 1, "one stop for all images"
        for each in ("undo", "click", "box", "phrase", "label-name", "accept", "skip", "export", "person", "opacity"):
            assert each in seen
        page.close()

    def test_the_list_of_images(self, browser: sync_api.Browser, server: Server) -> None:
        page = Page(browser, server, 6)
        page.page.locator("#list").focus()
        for key in ("Home", "ArrowDown", "ArrowDown"):
            page.page.keyboard.press(key)
        active = page.page.locator("#list").get_attribute("aria-activedescendant")
        expect(page.page.locator(f"#{active}")).to_have_attribute("aria-posinset", "3")
        page.page.keyboard.press("Enter")
        page.shown(3)
        page.page.locator("#list").focus()
        page.page.keyboard.press("End")
        page.page.wait_for_selector(
            f"#{page.page.locator('#list').get_attribute('aria-activedescendant')}[data-cursor]"
        )
        page.page.keyboard.press("Enter")
        page.shown(30)
        page.close()

    def test_screen_readers_are_told_of_the_selected_object(self, browser: sync_api.Browser, server: Server) -> None:
        page = Page(browser, server, 8)
        expect(page.page.locator("#selected")).to_be_empty()  # nothing is said before anything is selected
        page.click(220, 240)
        page.page.wait_for_selector("#selected:text-is('ball is selected, 1 of 1.')")
        page.page.keyboard.press("t")
        page.seq(2)
        page.page.keyboard.press("o")
        page.page.wait_for_selector("#selected:text-is('No object is selected.')")
        page.page.locator("#canvas").focus()
        page.page.keyboard.press("Tab")
        page.page.wait_for_selector("#selected:text-is('ball is selected, 1 of 1. It is locked.')")
        expect(page.page.locator("#selected")).to_have_attribute("role", "status")
        page.close()

    def test_ctrl_a_selects_no_text(self, browser: sync_api.Browser, server: Server) -> None:
        page = Page(browser, server, 7)
        page.page.keyboard.press("Control+a")
        assert page.page.evaluate("getSelection().toString()") == ""
        page.page.locator("#phrase").fill("cup")
        page.page.locator("#phrase").press("Control+a")
        page.page.keyboard.type("x")
        expect(page.page.locator("#phrase")).to_have_value("x")  # in a field it does
        page.close()
