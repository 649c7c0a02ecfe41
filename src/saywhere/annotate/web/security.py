"""Access control and limits: every request passes through the guard before any route sees it."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "saywhere"  # with a part that differs between tokens: servers on one host share their cookies
CLIENT = "x-saywhere-client"  # a header that another site's page cannot send without our consent
MAX_BODY_BYTES = 512 * 1024
MAX_UPLOAD_BYTES = 256 * 1024 * 1024
UPLOADS = frozenset({"/api/imports"})  # paths that take a file
MAX_REQUESTS = 200  # at once; those that wait for a header do not count
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
SAFE_METHODS = frozenset({"GET", "HEAD"})
PAGES = frozenset({"/", "/stats", "/login"})
LANGUAGES = ("en", "de", "fr", "es", "zh")
# What the login page needs.
PUBLIC_PATHS = frozenset(
    {"/login", "/static/style.css", "/static/icon.svg", "/static/i18n.js"}
    | {f"/static/i18n/{language}.json" for language in LANGUAGES}
)
HEADERS: Mapping[str, str] = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # with no-referrer the login form would be sent with "Origin: null"
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
# Of a page that computes masks: it may compile WebAssembly, and is cross-origin isolated, which threads need.
COMPUTING_HEADERS: Mapping[str, str] = {
    **HEADERS,
    "content-security-policy": HEADERS["content-security-policy"].replace(
        "script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'"
    ),
    "cross-origin-embedder-policy": "require-corp",
}


def cookie_name(token: str) -> str:
    """The name of the cookie of a token."""
    return f"{COOKIE}-{hmac.new(token.encode(), b'saywhere cookie name', hashlib.sha256).hexdigest()[:12]}"


def cookie_value(token: str) -> str:
    """What a browser stores: proves that the token was known, without containing it."""
    return hmac.new(token.encode(), b"saywhere annotate", hashlib.sha256).hexdigest()


class RejectedError(Exception):
    """A request that reaches no route."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error


class _CountedBody:
    """Counts the bytes of a request's body: one that comes in chunks need not declare its length."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive, self._limit, self._bytes = receive, limit, 0
        self.too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._bytes += len(message.get("body", b""))
        if self._bytes > self._limit:
            self.too_large = True
            return {"type": "http.disconnect"}
        return message


class Guard:
    """Checks the token, host, origin and size of every request, and sets the headers of every response.

    Without a token the server answers only to this machine's own names, so that no other site can be given one of
    them (DNS rebinding). With a token, every request needs its cookie but those for the login page. At most
    MAX_REQUESTS are served at once. Of a server whose pages compute masks, responses have the COMPUTING_HEADERS.
    """

    def __init__(self, app: ASGIApp, token: str | None, computes: bool = False) -> None:
        self._app = app
        self._headers = COMPUTING_HEADERS if computes else HEADERS
        self._token = token
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                return
            await self._app(scope, receive, send)
            return
        limit = MAX_UPLOAD_BYTES if scope["path"] in UPLOADS else MAX_BODY_BYTES
        body = _CountedBody(receive, limit)

        async def send_with_headers(message: Message) -> None:
            if body.too_large:
                return  # the application saw half a body: its response is dropped
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        self._requests += 1
        try:
            self._check(scope, limit)
            await self._app(scope, body.receive, send_with_headers)
            if body.too_large:
                raise RejectedError(413, f"a body of more than {limit:,} bytes: send less at once")
        except RejectedError as rejection:
            body.too_large = False
            await _reject(scope, rejection, send_with_headers)
        finally:
            self._requests -= 1

    def _check(self, scope: Scope, limit: int) -> None:
        if self._requests > MAX_REQUESTS:
            raise RejectedError(503, f"more than {MAX_REQUESTS} requests at once: ask again")
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._token is None:
            if _host_name(host) not in LOOPBACK:
                raise RejectedError(403, f"host '{host[:100]}': this annotator answers to 127.0.0.1 and localhost only")
        elif scope["path"] not in PUBLIC_PATHS and not self._has_cookie(headers):
            raise RejectedError(401, "no token, or a wrong one: open /login and give the one that the server printed")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit:
            raise RejectedError(413, f"a body of {length[:20]} bytes: at most {limit:,} are accepted")
        is_page = scope["path"] in PAGES and headers.get("sec-fetch-mode") == "navigate"
        if scope["method"] in SAFE_METHODS and is_page:
            return  # a link on another site may lead to the page
        _check_origin(headers, host)
        if scope["method"] not in SAFE_METHODS:
            _check_client(headers, scope["path"])

    def _has_cookie(self, headers: Headers) -> bool:
        assert self._token is not None, "called only where there is a token"
        names, expected = (cookie_name(self._token), COOKIE), cookie_value(self._token).encode()
        return any(name in names and hmac.compare_digest(value.encode(), expected) for name, value in _cookies(headers))


def _cookies(headers: Headers) -> Iterator[tuple[str, str]]:
    """Names and values of a request's cookies.

    Other servers on the same host set cookies too, of any form: what is no ``name=value`` is passed over, and a name
    may come more than once.
    """
    for header in headers.getlist("cookie"):
        for pair in header.split(";"):
            name, separator, value = pair.partition("=")
            if separator:
                yield name.strip(), value.strip().strip('"')


def _check_origin(headers: Headers, host: str) -> None:
    """Requests come from our own page or a program: other sites may neither change anything nor see what is here."""
    origin = headers.get("origin")
    if origin is not None and _netloc(origin) != host:
        raise RejectedError(403, f"origin '{origin[:100]}': only this annotator's own page may ask")
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RejectedError(403, "from another site: only this annotator's own page may ask")


def _check_client(headers: Headers, path: str) -> None:
    """Who changes something names itself, in a header that another site's page cannot send."""
    if path == "/login":
        return
    client = headers.get(CLIENT, "")
    if not (8 <= len(client) <= 64 and client.isascii() and client.replace("-", "").isalnum()):
        raise RejectedError(
            403, f"header {CLIENT}: give 8 to 64 letters, digits or hyphens that name your page or program"
        )


def _netloc(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


async def _reject(scope: Scope, rejection: RejectedError, send: Send) -> None:
    headers = [(b"content-type", b"application/json")]
    status, body = rejection.status, json.dumps({"error": rejection.error}).encode()
    accepts = Headers(scope=scope).get("accept", "")
    if status == 401 and scope["method"] in SAFE_METHODS and "text/html" in accepts:
        status, body, headers = 303, b"", [(b"location", b"/login")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
