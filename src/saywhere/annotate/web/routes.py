"""The routes. Each reads a request, asks the annotator, and gives an answer; errors become one line of JSON."""

from __future__ import annotations

import asyncio
import hmac
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, unquote

from fastapi import Depends, FastAPI, Header, Query, Response
from fastapi import Path as InPath
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

import saywhere
from saywhere.annotate import export, stats
from saywhere.annotate.db.leases import Held
from saywhere.annotate.db.store import Author, Conflict, Missing
from saywhere.annotate.inference.queue import Superseded
from saywhere.annotate.photos import as_jpeg, crop
from saywhere.annotate.service import Annotator
from saywhere.annotate.thumbnails import Thumbnails
from saywhere.annotate.web import requests as actions
from saywhere.annotate.web.responses import (  # fmt: skip
    ErrorOut,
    ImageOut,
    ImagesOut,
    LabelOut,
    LeaseOut,
    MapOut,
    PhotographOut,
    ProjectOut,
    ProposalOut,
    StateOut,
)
from saywhere.annotate.web.security import COOKIE, Guard, cookie_of
from saywhere.errors import SaywhereError

NO_CONTROL = r"^[^\x00-\x1f]*$"
STATIC = Path(__file__).parents[1] / "static"
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}
AnImage = Annotated[int, InPath(ge=1, le=2**31 - 1, description="a photograph's number in the list")]
Any_ = dict[int | str, dict[str, Any]]
WRONG: Any_ = {
    503: {"model": ErrorOut, "description": "the database cannot be written now; ask again"},
    401: {"model": ErrorOut, "description": "the server wants a token: see /login"},
    403: {"model": ErrorOut, "description": "from another site, or under another host name"},
    413: {"model": ErrorOut, "description": "too large"},
    422: {"model": ErrorOut, "description": "cannot be used; the text says why and what to do"},
}
LOST: Any_ = {404: {"model": ErrorOut, "description": "not in this project"}}
BUSY: Any_ = {409: {"model": ErrorOut, "description": "not as it was seen, or stale; load again"}}
HELD: Any_ = {423: {"model": ErrorOut, "description": "somebody else works on this photograph"}}
PICTURE: Any_ = {200: {"content": {"image/jpeg": {}}, "description": "a JPEG"}}


class LabelIn(actions.Strict):
    """A new label; colour and key are chosen where they are not given."""

    name: actions.Name
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None
    key: Annotated[str, Field(pattern=r"^[0-9]?$")] | None = None


class LabelChange(actions.Strict):
    """What to change of a label; hidden ones stay with the objects that have them."""

    name: actions.Name | None = None
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None
    key: Annotated[str, Field(pattern=r"^[0-9]?$")] | None = None
    hidden: bool | None = None


def who(
    x_saywhere_client: Annotated[str, Header(max_length=64, description="names the page or program")] = "reader",
    x_saywhere_person: Annotated[str, Header(max_length=600, description="a name, percent-encoded")] = "",
) -> Author:
    """Who asks; the guard has checked the page's name wherever something is to be changed."""
    name = "".join(c for c in unquote(x_saywhere_person) if c.isprintable()).strip()
    return Author(x_saywhere_client, name[:100] or "somebody")


Who = Annotated[Author, Depends(who)]


def make_app(annotator: Annotator, token: str | None = None) -> FastAPI:
    """The application of one project; ``token`` as in :class:`saywhere.annotate.web.security.Guard`."""
    app = FastAPI(
        title="Saywhere annotator", version=saywhere.__version__, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json", responses=WRONG,
        description="Everything that the annotator's page does. See docs/annotate.md.",
    )  # fmt: skip
    _explain_errors(app)
    _add_pages(app, token)
    _add_project(app, annotator)
    _add_images(app, annotator, Thumbnails(annotator.folder))
    _add_answers(app, annotator)
    _add_results(app, annotator)
    app.add_middleware(Guard, token=token)
    return app


def _explain_errors(app: FastAPI) -> None:
    statuses: Mapping[type[SaywhereError], int] = {Missing: 404, Conflict: 409, Superseded: 409, Held: 423}

    @app.exception_handler(SaywhereError)
    def refuse(_request: HttpRequest, error: SaywhereError) -> JSONResponse:
        holder = error.holder if isinstance(error, Held) else None
        return JSONResponse({"error": str(error), "holder": holder}, statuses.get(type(error), 422))

    @app.exception_handler(RequestValidationError)
    def explain(_request: HttpRequest, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{where}: {first['msg']}"[:500]}, 422)

    @app.exception_handler(SQLAlchemyError)
    def wait(_request: HttpRequest, error: SQLAlchemyError) -> JSONResponse:
        logging.getLogger("saywhere").error("database: %s", error)
        return JSONResponse(
            {"error": "the database cannot be written now (see the server's log); nothing is lost"}, 503
        )

    @app.exception_handler(HTTPException)
    def plain(_request: HttpRequest, error: HTTPException) -> JSONResponse:
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)


def _add_pages(app: FastAPI, token: str | None) -> None:
    @app.get("/", include_in_schema=False)
    def annotator_page() -> FileResponse:
        return FileResponse(STATIC / "index.html")

    @app.get("/stats", include_in_schema=False)
    def statistics_page() -> FileResponse:
        return FileResponse(STATIC / "stats.html")

    @app.get("/login", include_in_schema=False)
    def login_page(again: bool = False) -> HTMLResponse:
        words = "That was not the token. " if again else ""
        return HTMLResponse((STATIC / "login.html").read_text(encoding="utf-8").replace("<!-- again -->", words))

    @app.post("/login", include_in_schema=False)
    async def login(request: HttpRequest) -> RedirectResponse:
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0].strip()
        if token is None or not hmac.compare_digest(cookie_of(given), cookie_of(token)):
            await asyncio.sleep(0.5)  # guessing is not worth the while
            return RedirectResponse("/login?again=1", 303)
        response = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, cookie_of(token), httponly=True, samesite="strict", secure=secure, path="/")
        return response

    app.mount("/static", StaticFiles(directory=STATIC))


def _add_project(app: FastAPI, annotator: Annotator) -> None:
    store = annotator.store

    @app.get("/api/project", tags=["project"])
    def project() -> ProjectOut:
        """The folder, its labels, and the network."""
        counts, runtime = store.counts(), annotator.segmenters.runtime
        return ProjectOut(
            name=annotator.folder.root.name, images=sum(counts.values()), counts=counts, model=runtime.name,
            weights=runtime.digest, phrases=runtime.capabilities.phrases, study=annotator.study,
            labels=[LabelOut.of(row) for row in store.labels()],
        )  # fmt: skip

    @app.post("/api/rescan", tags=["project"])
    def rescan() -> ProjectOut:
        """Look again which photographs the folder has."""
        annotator.rescan()
        return project()

    @app.post("/api/labels", tags=["project"], status_code=201)
    def add_label(label: LabelIn) -> LabelOut:
        """Make a label; the one of this name where there is one."""
        return LabelOut.of(store.add_label(label.name, label.colour, label.key))

    @app.patch("/api/labels/{label}", tags=["project"], responses=LOST | BUSY)
    def change_label(label: Annotated[int, InPath(ge=1, le=2**31 - 1)], change: LabelChange) -> LabelOut:
        """Change a label's name, colour or key, or hide it."""
        values = {name: value for name, value in change.model_dump().items() if value is not None}
        return LabelOut.of(store.change_label(label, values))


def _add_images(app: FastAPI, annotator: Annotator, thumbnails: Thumbnails) -> None:
    store = annotator.store

    @app.get("/api/images", tags=["photographs"])
    def images(
        state: Literal["new", "started", "done", "skipped"] | None = None,
        search: Annotated[str | None, Query(max_length=200, pattern=NO_CONTROL, description="part of the path")] = None,
        offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> ImagesOut:
        """Photographs by their paths."""
        total, rows = store.images(state, search, offset, limit)
        return ImagesOut(total=total, offset=offset, images=[ImageOut.of(row) for row in rows])

    @app.get("/api/images/{image}", tags=["photographs"], responses=LOST)
    def photograph(image: AnImage, author: Who) -> PhotographOut:
        """Open a photograph: its size and all that was done to it."""
        return annotator.photograph(image, author)

    @app.get("/api/images/{image}/thumbnail", tags=["photographs"], responses=LOST | PICTURE, response_class=Response)
    def thumbnail(image: AnImage) -> Response:
        """A small picture for the list."""
        headers = {"cache-control": "private, max-age=600"}
        return Response(thumbnails.of(store.image(image).path), media_type="image/jpeg", headers=headers)

    @app.get("/api/images/{image}/picture", tags=["photographs"], responses=LOST | PICTURE, response_class=Response)
    def picture(
        image: AnImage,
        left: Annotated[int, Query(ge=0, le=10**6)] = 0,
        top: Annotated[int, Query(ge=0, le=10**6)] = 0,
        right: Annotated[int, Query(ge=1, le=10**6)] = 10**6,
        bottom: Annotated[int, Query(ge=1, le=10**6)] = 10**6,
        longest: Annotated[int, Query(ge=16, le=4096, description="longer side at most, in pixels")] = 2048,
        version: Annotated[str | None, Query(max_length=64, description="the photograph's; then kept for long")] = None,
    ) -> Response:
        """A photograph, or a rectangle of it, upright; made smaller where it is larger than ``longest``."""
        opened = annotator.opened(store.image(image))
        box = (left, top, min(right, opened.size[1]), min(bottom, opened.size[0]))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise SaywhereError(
                f"rectangle {left},{top} to {right},{bottom}: no pixel of {opened.size[1]}x{opened.size[0]}"
            )
        same = version == opened.sha256[:16]
        content = as_jpeg(crop(opened.pixels, box, longest))
        return Response(content, media_type="image/jpeg", headers=FOREVER if same else None)

    @app.post("/api/images/{image}/look", tags=["photographs"], status_code=204, responses=LOST)
    def look(image: AnImage) -> None:
        """Look at a photograph ahead, so that its first click is answered fast."""
        annotator.look(image)

    @app.post("/api/images/{image}/lease", tags=["photographs"], responses=LOST | HELD | BUSY)
    def lease(image: AnImage, author: Who, take: bool = False) -> LeaseOut:
        """Hold a photograph for a while; ``take`` takes it over from somebody else."""
        found = store.hold(image, author, take)
        return LeaseOut(person=found.person, until=found.until)

    @app.delete("/api/images/{image}/lease", tags=["photographs"], status_code=204, responses=LOST)
    def leave(image: AnImage, author: Who) -> None:
        """Give a photograph back."""
        store.leave(image, author)


def _add_answers(app: FastAPI, annotator: Annotator) -> None:
    @app.post("/api/images/{image}/events", tags=["annotation"], responses=LOST | BUSY | HELD)
    def act(image: AnImage, request: actions.Request, author: Who) -> StateOut:
        """Do something to a photograph. The answer comes when it is on the disk."""
        return annotator.act(image, request, author)

    @app.get("/api/images/{image}/relevance", tags=["annotation"], responses=LOST | BUSY)
    def relevance(
        image: AnImage, phrase: Annotated[str, Query(min_length=1, max_length=200, pattern=NO_CONTROL)], author: Who
    ) -> MapOut:
        """Where a phrase applies."""
        return annotator.relevance(image, phrase, author)

    @app.get("/api/images/{image}/proposal", tags=["annotation"], responses=LOST | BUSY)
    def proposal(image: AnImage, label: Annotated[int, Query(ge=1, le=2**31 - 1)], author: Who) -> ProposalOut:
        """Where another object of a label may be."""
        return annotator.proposal(image, label, author)

    @app.get("/api/images/{image}/objects/{object}/probability", tags=["annotation"], responses=LOST | BUSY)
    def probability(image: AnImage, object: Annotated[int, InPath(ge=1, le=10**6)], author: Who) -> MapOut:
        """How sure the network is of each pixel of an object."""
        return annotator.probability(image, object, author)


def _add_results(app: FastAPI, annotator: Annotator) -> None:
    @app.get("/api/stats", tags=["results"])
    def figures() -> stats.StatsOut:
        """How long it took, and how many interactions."""
        return stats.of(annotator.store)

    @app.get(
        "/api/stats.csv", tags=["results"], response_class=Response,
        responses={200: {"content": {"text/csv": {}}, "description": "a row for each object"}},
    )  # fmt: skip
    def table() -> Response:
        """The same by object, as a table."""
        headers = {"content-disposition": 'attachment; filename="statistics.csv"'}
        return Response(stats.as_csv(annotator.store), media_type="text/csv; charset=utf-8", headers=headers)

    @app.get(
        "/api/export", tags=["results"], response_class=FileResponse,
        responses={200: {"content": {"application/json": {}, "application/zip": {}}, "description": "a file"}},
    )  # fmt: skip
    def export_all(
        format: Literal["coco", "voc", "yolo", "labelme", "png"] = "coco",
        done: Annotated[bool, Query(description="only photographs that are done")] = False,
    ) -> FileResponse:
        """All masks: COCO JSON, or a ZIP in another format, without the photographs."""
        place = tempfile.TemporaryDirectory(prefix="saywhere-")
        try:
            path = export.write(annotator.store, annotator.folder, Path(place.name), format, done)
        except BaseException:
            place.cleanup()
            raise
        kind = "application/json" if format == "coco" else "application/zip"
        return FileResponse(path, media_type=kind, filename=path.name, background=BackgroundTask(place.cleanup))
