"""The HTML pages, the login, and the page's files."""

from __future__ import annotations

import asyncio
import hmac
from pathlib import Path
from urllib.parse import parse_qs

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles

from saywhere.annotate.computed import BrowserNetwork
from saywhere.annotate.web.common import IMMUTABLE
from saywhere.annotate.web.security import cookie_name, cookie_value

STATIC = Path(__file__).parents[1] / "static"
MEDIA_TYPES = {".mjs": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}
LOGIN_DELAY = 0.5  # seconds, so that a token cannot be guessed by trying


def add_pages(app: FastAPI, token: str | None) -> None:
    """Add the pages; without a ``token`` no login succeeds, and none is needed."""

    @app.get("/", include_in_schema=False)
    def annotator_page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/stats", include_in_schema=False)
    def statistics_page() -> FileResponse:
        return FileResponse(STATIC / "stats.html")

    @app.get("/login", include_in_schema=False)
    def login_page(again: bool = False) -> HTMLResponse:
        page = (STATIC / "login.html").read_text(encoding="utf-8")
        return HTMLResponse(page.replace('"login.again" hidden', '"login.again"') if again else page)

    @app.post("/login", include_in_schema=False)
    async def login(request: Request) -> RedirectResponse:
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0].strip()
        if token is None or not hmac.compare_digest(cookie_value(given), cookie_value(token)):
            await asyncio.sleep(LOGIN_DELAY)
            return RedirectResponse("/login?again=1", 303)
        response = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        name, value = cookie_name(token), cookie_value(token)
        response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure, path="/")
        return response

    # The modules of inference and languages are those of the page without a server.
    app.mount("/static", StaticFiles(directory=STATIC, packages=[("saywhere.browser", "shared")]))


def add_network(app: FastAPI, network: BrowserNetwork) -> None:
    """Add the network's files, with which pages compute masks by themselves."""

    @app.get(network.address + "{name:path}", include_in_schema=False)
    def network_file(name: str) -> Response:
        if name not in network.files:
            raise HTTPException(404, f"'{name}' is none of the network's files")
        return Response(network.files[name], media_type=MEDIA_TYPES.get(Path(name).suffix), headers=dict(IMMUTABLE))
