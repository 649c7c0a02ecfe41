"""A browser that is slow on purpose, to find tests that depend on time; by two variables of the environment.

``SAYWHERE_THROTTLE=4`` runs the page's scripts four times slower, and ``SAYWHERE_LATENCY=300`` lets each answer of the
server arrive 300 ms later. A test that passes with both waits for what it reads.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

FACTOR = float(os.environ.get("SAYWHERE_THROTTLE") or 1)
LATENCY = float(os.environ.get("SAYWHERE_LATENCY") or 0)  # ms


def throttle(browser: Browser) -> Browser:
    """Make all pages of a browser slow, where the environment says so."""
    if FACTOR <= 1 and LATENCY <= 0:
        return browser
    make = browser.new_context

    def new_context(**options: object) -> BrowserContext:
        context = make(**options)
        open_page = context.new_page
        context.new_page = lambda: _slow(open_page())
        return context

    browser.new_context = new_context
    browser.new_page = lambda **options: new_context(**options).new_page()
    return browser


def _slow(page: Page) -> Page:
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": FACTOR})
    session.send("Network.enable")
    conditions = {"offline": False, "latency": LATENCY, "downloadThroughput": -1, "uploadThroughput": -1}
    session.send("Network.emulateNetworkConditions", conditions)
    return page
