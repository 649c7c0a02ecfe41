"""The application: error handling, pages and the routes of the API."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

import saywhere
from saywhere.annotate.db.database import Database, DatabaseLostError
from saywhere.annotate.db.locks import ImageLockedError
from saywhere.annotate.db.store import ConflictError, NotFoundError
from saywhere.annotate.inference.queue import SupersededError
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.annotation_routes import add_annotation_routes
from saywhere.annotate.web.assignment_routes import add_assignment_routes
from saywhere.annotate.web.common import COMMON_ERRORS
from saywhere.annotate.web.export_routes import add_export_routes
from saywhere.annotate.web.finetuning_routes import add_finetuning_routes
from saywhere.annotate.web.image_routes import add_image_routes
from saywhere.annotate.web.import_routes import add_import_routes
from saywhere.annotate.web.label_routes import add_label_routes
from saywhere.annotate.web.pages import add_network, add_pages
from saywhere.annotate.web.project_routes import add_project_routes
from saywhere.annotate.web.security import Guard
from saywhere.errors import SaywhereError

STATUS_CODES: Mapping[type[SaywhereError], int] = {
    NotFoundError: 404, ConflictError: 409, SupersededError: 409, ImageLockedError: 423, DatabaseLostError: 503,
}  # fmt: skip


def make_app(annotator: Annotator, token: str | None = None) -> FastAPI:
    """The application of one project; ``token`` as in :class:`saywhere.annotate.web.security.Guard`."""
    app = FastAPI(
        title="Saywhere annotator", version=saywhere.__version__, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json", responses=COMMON_ERRORS,
        description="Everything that the annotator's page does. See docs/annotate.md.",
    )  # fmt: skip
    _add_error_handlers(app, annotator.store.database)
    add_pages(app, token)
    if annotator.network is not None:
        add_network(app, annotator.network)
    add_project_routes(app, annotator)
    add_label_routes(app, annotator.store)
    add_assignment_routes(app, annotator.store)
    add_export_routes(app, annotator)
    add_image_routes(app, annotator)
    add_import_routes(app, annotator)
    add_finetuning_routes(app, annotator)
    add_annotation_routes(app, annotator)
    app.add_middleware(Guard, token=token, computes=annotator.network is not None)
    return app


def _add_error_handlers(app: FastAPI, database: Database) -> None:
    """Every error becomes one line of JSON."""

    @app.exception_handler(SaywhereError)
    def user_error(_request: Request, error: SaywhereError) -> JSONResponse:
        holder = error.holder if isinstance(error, ImageLockedError) else None
        return JSONResponse({"error": str(error), "holder": holder}, STATUS_CODES.get(type(error), 422))

    @app.exception_handler(RequestValidationError)
    def validation_error(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{place}: {first['msg']}"[:500]}, 422)

    @app.exception_handler(SQLAlchemyError)
    def database_error(_request: Request, error: SQLAlchemyError) -> JSONResponse:
        logging.getLogger("saywhere").error("database: %s", error)
        return JSONResponse({"error": database.explain(error)}, 503)

    @app.exception_handler(HTTPException)
    def http_error(_request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400:  # FastAPI's word for a body that is no JSON at all
            return JSONResponse({"error": f"body: {error.detail}; give JSON as /api/openapi.json has it"}, 422)
        return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)
