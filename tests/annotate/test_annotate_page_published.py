"""The page with a network that takes one positive click: it shows nothing else, and says why in words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from annotator import Server, act, click, make_folder
from page import Page, expect, needs_chromium, sync_api


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(make_folder(tmp_path_factory.mktemp("one-click") / "images"), model="annotator:one_click")
    yield made
    made.stop()


def test_the_server_refuses_in_words_and_keeps_the_mask(server: Server) -> None:
    client = server.client()
    project = client.get("/api/project").json()
    assert (project["max_clicks"], project["negative_clicks"], project["drags"]) == (1, False, False)
    assert (project["phrases"], project["boxes"], project["candidates"]) == (False, False, 1)
    answer = act(client, 2, click(180, 200)).json()
    for action, words in (
        (click(190, 200, object=1), "second click: 'one-click' takes one positive click"),
        (click(20, 20, positive=False), "negative click: 'one-click' takes one positive click"),
        (click(20, 20, radius=9.0), "drag: 'one-click' takes no drags"),
        ({"kind": "phrase", "text": "disc"}, "'one-click' understand no phrases"),
        ({"kind": "box", "box": [5, 5, 90, 90]}, "'one-click' understand no boxes"),
    ):
        refused = act(client, 2, action)
        assert refused.status_code in (400, 422), refused.text
        assert words in refused.text
    after = client.get("/api/images/2").json()["state"]
    assert (after["seq"], after["objects"]) == (1, answer["objects"])


@needs_chromium
def test_the_page_offers_what_the_network_takes(browser: sync_api.Browser, server: Server) -> None:
    page = Page(browser, server, 1)
    expect(page.page.locator("#phrase")).to_be_disabled()
    expect(page.page.locator("#tools [data-tool=box]")).to_be_disabled()
    expect(page.page.locator("#sign")).to_be_hidden()
    page.page.keyboard.press("?")
    expect(page.page.locator("#keys")).to_be_visible()
    keys = page.page.locator("#help").inner_text()
    assert "candidate" not in keys
    assert "drag to its nearest edge" not in keys
    assert "background" not in keys
    page.page.keyboard.press("Escape")
    expect(page.page.locator("#help")).to_be_hidden()
    page.click(20, 20, "right")
    page.toast("no clicks on the background")
    page.drag((300, 200), (300, 240))  # a click, whose radius is left out
    page.seq(1)
    (found,) = page.state(1)["objects"]
    assert [one["radius"] for one in found["clicks"]] == [None]
    page.click(310, 200)
    page.toast("takes one click for an object")
    page.page.keyboard.press("z")
    page.seq(2)
    page.click(310, 200)
    page.seq(3)
    page.page.keyboard.press("o")
    page.click(290, 200)
    page.seq(4)
    assert [len(one["clicks"]) for one in page.state(1)["objects"]] == [1, 1]
    page.close()
