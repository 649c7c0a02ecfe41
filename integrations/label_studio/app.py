"""The routes that Label Studio asks of a machine learning backend."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import BackgroundTasks, Body, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from integrations.label_studio.backend import DELETION, LEARNING_EVENTS, Backend
from integrations.label_studio.config import parse_config
from saywhere import SaywhereError

Payload = Annotated[dict[str, Any], Body()]


def make_app(backend: Backend, password: str | None = None) -> FastAPI:
    """The application.

    Args:
        backend: answers.
        password: ``user:password`` that requests must give (HTTP Basic); None: none.
    """
    app = FastAPI(title="Saywhere for Label Studio", docs_url=None, redoc_url=None, openapi_url=None)
    _add_error_handlers(app)
    if password is not None:
        _add_password(app, password)

    @app.get("/")
    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "UP", "model_class": "Saywhere"}

    @app.post("/setup")
    def setup(payload: Payload) -> dict[str, str]:
        return {"model_version": backend.setup(payload.get("schema"))}

    @app.post("/predict")
    def predict(payload: Payload) -> dict[str, Any]:
        tasks, params = payload.get("tasks"), payload.get("params")
        if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
            raise SaywhereError("predict: no list of tasks; is this a request of Label Studio?")
        context = params.get("context") if isinstance(params, dict) else None
        return {"results": backend.predict(tasks, parse_config(payload.get("label_config")), context)}

    @app.post("/webhook", status_code=201)
    def webhook(payload: Payload, background: BackgroundTasks, response: Response) -> dict[str, str]:
        """Label Studio waits for a second at most, so learning begins after the answer."""
        event = payload.get("action")
        if event == "START_TRAINING":
            return {"status": "ok", "result": "nothing to do: submitted annotations are learned from at once"}
        if event not in (*LEARNING_EVENTS, DELETION):
            response.status_code = 200
            return {"status": "Unknown event"}
        background.add_task(backend.learn, event, payload)
        return {"status": "ok", "result": "learning"}

    return app


def _add_error_handlers(app: FastAPI) -> None:
    @app.exception_handler(SaywhereError)
    def user_error(_request: Request, error: SaywhereError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, 422)

    @app.exception_handler(RequestValidationError)
    def validation_error(_request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return JSONResponse({"error": f"{place}: {first['msg']}; give a JSON object"[:500]}, 422)


def _add_password(app: FastAPI, password: str) -> None:
    @app.middleware("http")
    async def check(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        try:
            decoded = base64.b64decode(given, validate=True)
        except (ValueError, binascii.Error):
            decoded = b""
        if kind.lower() == "basic" and secrets.compare_digest(decoded, password.encode()):
            return await call_next(request)
        headers = {"WWW-Authenticate": 'Basic realm="Saywhere"'}
        return JSONResponse({"error": "user name or password is missing or wrong"}, 401, headers=headers)
