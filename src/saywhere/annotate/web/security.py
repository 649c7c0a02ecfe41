"""Who may ask, and how much. Everything passes through here before any route sees it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "saywhere"
CLIENT = "x-saywhere-client"  # a header that no other site's page can send unasked
MOST_BODY = 512 * 1024
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE = frozenset({"GET", "HEAD"})
OPEN = frozenset({"/login", "/static/style.css", "/static/icon.svg"})
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def cookie_of(token: str) -> str:
    """What a browser keeps: shows that the token was known, without being it."""
    return hmac.new(token.encode(), b"saywhere annotate", hashlib.sha256).hexdigest()


class Refused(Exception):
    """A request that goes no further."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


class _Body:
    """A request's body, counted: one that comes in pieces need not say how long it is."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._got = receive, 0
        self.too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._got += len(message.get("body", b""))
        if self._got > MOST_BODY:
            self.too_large = True
            return {"type": "http.disconnect"}
        return message


class Guard:
    """Token, host, origin and size of every request; headers of every answer.

    Without a token only this machine's own names are answered to, so that no other site can be given one of them
    (DNS rebinding). With one, its cookie is asked of every request but those for the page that takes the token.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                return
            await self._app(scope, receive, send)
            return
        body = _Body(receive)

        async def dressed(message: Message) -> None:
            if body.too_large:
                return  # what the application makes of half a body is of no interest
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, body.receive, dressed)
            if body.too_large:
                raise Refused(413, f"a body of more than {MOST_BODY:,} bytes: send less at once")
        except Refused as refused:
            body.too_large = False
            await _refuse(scope, refused, dressed)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._token is None:
            if _name(host) not in LOOPBACK:
                raise Refused(403, f"host '{host[:100]}': this annotator answers to 127.0.0.1 and localhost only")
        elif scope["path"] not in OPEN and not self._known(headers):
            raise Refused(401, "no or another token: open /login and give the one that the server printed")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MOST_BODY:
            raise Refused(413, f"a body of {length[:20]} bytes: at most {MOST_BODY:,} are taken")
        if scope["method"] not in SAFE:
            _check_origin(headers, host, scope["path"])

    def _known(self, headers: Headers) -> bool:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        assert self._token is not None, "asked only where there is a token"
        return morsel is not None and hmac.compare_digest(morsel.value.encode(), cookie_of(self._token).encode())


def _check_origin(headers: Headers, host: str, path: str) -> None:
    """A request that changes something comes from our own page, or from a program that says it is one."""
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != host:
        raise Refused(403, f"origin '{origin[:100]}': only this annotator's own page may change anything")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Refused(403, "from another site: only this annotator's own page may change anything")
    if path == "/login":
        return
    client = headers.get(CLIENT, "")
    if not (8 <= len(client) <= 64 and client.isascii() and client.replace("-", "").isalnum()):
        raise Refused(403, f"header {CLIENT}: give 8 to 64 letters, digits or hyphens that name your page or program")


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _refuse(scope: Scope, refused: Refused, send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    status, body = refused.status, json.dumps({"error": refused.error}).encode()
    accepts = Headers(scope=scope).get("accept", "")
    if status == 401 and scope["method"] in SAFE and "text/html" in accepts:
        status, body, headers = 303, b"", [(b"location", b"/login")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
