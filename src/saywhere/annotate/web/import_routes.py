"""Routes of imports: a file is uploaded and previewed, and then added or forgotten."""

from __future__ import annotations

import secrets
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from saywhere.annotate.actions import Strict
from saywhere.annotate.db.errors import NotFoundError
from saywhere.annotate.imports.status import ImportStatus
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.common import NO_CONTROL_CHARACTERS, NOT_FOUND, RequestAuthor
from saywhere.errors import SaywhereError

if TYPE_CHECKING:
    from saywhere.annotate.imports.plan import ImportPlan

KEPT_PLANS = 3
UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "the file, or a ZIP",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
ImportId = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{16}$", description="of an uploaded file")]


class ImportPreviewOut(BaseModel):
    """What a file would add."""

    id: str
    name: str
    images: int = Field(description="images of the project that the file has")
    objects: int = Field(description="objects that would be added")
    new_labels: list[str]
    attributes: dict[str, list[str]] = Field(description="names of attributes that labels would get, by label")
    duplicates: int = Field(description="objects that are in the project already")
    empty_images: int = Field(description="images without an object that nobody annotated; done if all is to be done")
    with_data: int = Field(description="images that get what else the file says of them: licence, date, flags")
    left_out: list[str] = Field(description="what is not imported and why")


class ImportIn(Strict):
    """How to import."""

    status: ImportStatus = Field(default="todo", description="what images with new objects are marked as")


class ImportOut(BaseModel):
    """What was added."""

    images: list[int] = Field(description="numbers of the images that were changed")
    objects: int
    left_out: list[str]


@dataclass(frozen=True)
class _Planned:
    name: str
    plan: ImportPlan


class _Plans:
    """The files that were uploaded last. Any thread may use it."""

    def __init__(self) -> None:
        self._plans: OrderedDict[str, _Planned] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, planned: _Planned) -> str:
        id = secrets.token_hex(8)
        with self._lock:
            self._plans[id] = planned
            while len(self._plans) > KEPT_PLANS:
                self._plans.popitem(last=False)
        return id

    def take(self, id: str) -> _Planned:
        with self._lock:
            planned = self._plans.pop(id, None)
        if planned is None:
            raise NotFoundError(f"import {id}: is not kept any more; upload the file again")
        return planned


def add_import_routes(app: FastAPI, annotator: Annotator) -> None:
    """Add the routes of imports."""
    plans = _Plans()

    @app.post("/api/imports", tags=["import"], status_code=201, openapi_extra=UPLOAD)
    async def upload(
        request: Request,
        name: Annotated[str, Query(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)],
        crowds: Annotated[bool, Query(description="crowd regions as objects too")] = False,
    ) -> ImportPreviewOut:
        """Upload annotations, as a file or a ZIP: what they would add. Nothing is changed yet."""
        if annotator.study is not None:
            raise SaywhereError(f"import: not available in a study of '{annotator.study}'")
        with tempfile.TemporaryDirectory(prefix="saywhere-") as temporary:
            path = Path(temporary) / "upload" / _file_name(name)
            path.parent.mkdir()
            with path.open("wb") as file:
                async for chunk in request.stream():
                    file.write(chunk)
            plan = await run_in_threadpool(_plan, annotator, path, crowds)
        return ImportPreviewOut(
            id=plans.add(_Planned(name, plan)), name=name, images=len(plan.images), objects=plan.objects,
            attributes={label: [one.name for one in some] for label, some in plan.attributes.items()},
            new_labels=plan.new_labels, duplicates=plan.duplicates, empty_images=plan.empty_images,
            with_data=plan.with_data, left_out=plan.left_out,
        )  # fmt: skip

    @app.post("/api/imports/{id}", tags=["import"], responses=NOT_FOUND)
    def add(id: ImportId, request: ImportIn, author: RequestAuthor) -> ImportOut:
        """Add what an uploaded file has: in each image one step, which one undo takes back."""
        from saywhere.annotate.imports.apply import apply_import

        planned = plans.take(id)
        result = apply_import(
            annotator.store, annotator.folder, planned.plan, request.status, author, planned.name
        )  # fmt: skip
        return ImportOut(images=result.images, objects=result.objects, left_out=result.left_out)

    @app.delete("/api/imports/{id}", tags=["import"], status_code=204, responses=NOT_FOUND)
    def forget(id: ImportId) -> None:
        """Forget an uploaded file."""
        plans.take(id)


def _file_name(name: str) -> str:
    """A name for an uploaded file by which its person knows it."""
    safe = "".join(c if c.isalnum() or c in "._- " else "_" for c in PurePosixPath(name.replace("\\", "/")).name)
    return safe.lstrip(".")[-100:] or "upload"


def _plan(annotator: Annotator, path: Path, crowds: bool) -> ImportPlan:
    # The readers need more modules than the rest of the server.
    from saywhere.annotate.imports.plan import plan_import
    from saywhere.annotate.imports.upload import copy_or_unpack

    with tempfile.TemporaryDirectory(dir=path.parent.parent) as folder:
        place = copy_or_unpack(path, Path(folder))
        return plan_import(annotator.store, annotator.folder, place, crowds=crowds)
