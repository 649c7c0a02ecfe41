"""Routes of exports: a file at once, or a version that is kept with its manifest."""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Query
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from starlette.background import BackgroundTask

from saywhere.annotate.actions import Strict
from saywhere.annotate.db.errors import NotFoundError
from saywhere.annotate.db.export_versions import ExportVersions
from saywhere.annotate.exports.selection import select_images
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.common import NOT_FOUND, RequestAuthor, Responses

if TYPE_CHECKING:
    from saywhere.annotate.exports.options import ExportOptions

# The formats need more modules than the rest of the server: those that use them are imported when they are asked for.
KEPT_FILES = 4  # exports whose files can still be downloaded
FILE: Responses = {200: {"content": {"application/json": {}, "application/zip": {}}, "description": "a file"}}
FormatName = Literal["coco", "coco-polygons", "voc", "yolo", "yolo-boxes", "labelme", "labelme-polygons", "png"]
Version = Annotated[int, PathParameter(ge=1, le=2**31 - 1, description="number of an export")]
Tolerance = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


class SplitIn(Strict):
    """Shares of training, validation and test; what they are shares of is their sum."""

    train: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
    val: Share = 0
    test: Share = 0


class ExportIn(Strict):
    """What to export."""

    format: FormatName = "coco"
    done: bool = Field(default=True, description="only images that are done; else those with objects too")
    approved: bool = Field(default=False, description="only images that are approved")
    images: bool = Field(default=False, description="the images too")
    split: SplitIn | None = None
    simplify: Tolerance = Field(default=0, description="how far a simplified outline may be off, in pixels")

    def options(self) -> ExportOptions:
        """For the exporter."""
        from saywhere.annotate.exports.options import ExportOptions
        from saywhere.data.split import Shares

        split = None if self.split is None else Shares(self.split.train, self.split.val, self.split.test)
        return ExportOptions(self.format, self.done, self.images, split, self.simplify, self.approved)


class ExportPreviewOut(BaseModel):
    """What would be exported now."""

    images: int
    objects: int
    left_out: list[str]


BEFORE_AND_AFTER = Field(min_length=2, max_length=2)


class ChangesOut(BaseModel):
    """What changed between two exports: names of images, and values before and after."""

    from_: int | None = Field(alias="from", description="number of the earlier export")
    to: int | None
    added: list[str]
    removed: list[str]
    changed: list[str] = Field(description="images with other annotations")
    files: list[str] = Field(description="images whose file is another one")
    moved: list[str] = Field(description="images in another part of the split")
    labels: dict[str, Annotated[list[int], BEFORE_AND_AFTER]] = Field(
        description="numbers of objects, where they differ"
    )
    options: dict[str, Annotated[list[Any], BEFORE_AND_AFTER]]


class ExportOut(BaseModel):
    """An export that is kept."""

    version: int
    created: str
    person: str
    options: dict[str, Any]
    counts: dict[str, Any]
    left_out: list[str]
    notes: list[str] = Field(description="what the format cannot hold; of equal notes the first")
    changes: ChangesOut | None = Field(default=None, description="since the export before; null for the first")
    name: str | None = Field(default=None, description="of the file, while it can be downloaded")


class ExportFiles:
    """The files of the last exports, until the server ends. Any thread may use it."""

    def __init__(self) -> None:
        self._files: OrderedDict[int, tuple[tempfile.TemporaryDirectory[str], Path]] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, version: int, folder: tempfile.TemporaryDirectory[str], path: Path) -> None:
        """Keep the file of an export, and forget those of the oldest."""
        with self._lock:
            self._files[version] = folder, path
            while len(self._files) > KEPT_FILES:
                self._files.popitem(last=False)[1][0].cleanup()

    def find(self, version: int) -> Path:
        """The file of an export; NotFoundError where it is not kept any more."""
        with self._lock:
            if version not in self._files:
                raise NotFoundError(f"export {version}: its file is not kept any more; export again")
            return self._files[version][1]


def add_export_routes(app: FastAPI, annotator: Annotator) -> None:
    """Add the routes of exports."""
    _add_direct_route(app, annotator)
    _add_version_routes(app, annotator)


def _add_direct_route(app: FastAPI, annotator: Annotator) -> None:
    @app.get("/api/export", tags=["results"], response_class=FileResponse, responses=FILE)
    def export_masks(
        format: FormatName = "coco",
        done: Annotated[bool, Query(description="only images that are done; else those with objects too")] = True,
        approved: Annotated[bool, Query(description="only images that are approved")] = False,
    ) -> FileResponse:
        """The masks of images that are done: COCO JSON, or a ZIP in another format, without the images."""
        from saywhere.annotate.exports.options import ExportOptions
        from saywhere.annotate.exports.write import write_export

        folder = tempfile.TemporaryDirectory(prefix="saywhere-")
        try:
            options = ExportOptions(format, done, only_approved=approved)
            path = write_export(annotator.store, annotator.folder, Path(folder.name), options).path
        except BaseException:
            folder.cleanup()
            raise
        return _file_response(path, BackgroundTask(folder.cleanup))

    @app.get("/api/export/preview", tags=["results"])
    def preview(done: bool = True, approved: bool = False) -> ExportPreviewOut:
        """How many images and objects would be exported, and what would be left out."""
        selection = select_images(annotator.store, done, approved)
        objects = sum(row.objects for row in selection.rows)
        return ExportPreviewOut(images=len(selection.rows), objects=objects, left_out=list(selection.left_out))


def _add_version_routes(app: FastAPI, annotator: Annotator) -> None:
    store, files = annotator.store, ExportFiles()
    versions = ExportVersions(store)

    @app.post("/api/exports", tags=["results"], status_code=201)
    def make_version(request: ExportIn, author: RequestAuthor) -> ExportOut:
        """Export, and keep the manifest as the next version."""
        from saywhere.annotate.exports.versions import changes_since_last, make_export

        folder = tempfile.TemporaryDirectory(prefix="saywhere-")
        try:
            export = make_export(store, annotator.folder, Path(folder.name), request.options(), author.person)
        except BaseException:
            folder.cleanup()
            raise
        files.keep(export.manifest["version"], folder, export.path)
        return _export_out(export.manifest, changes_since_last(store, export.manifest), export.path.name)

    @app.get("/api/exports", tags=["results"])
    def list_versions() -> list[ExportOut]:
        """The last exports, the latest first."""
        return [_export_out(manifest) for manifest in versions.manifests()]

    @app.get("/api/exports/{version}", tags=["results"], responses=NOT_FOUND)
    def manifest(version: Version) -> dict[str, Any]:
        """The manifest of an export: counts, options, hashes of images and of annotations."""
        return versions.manifest(version)

    @app.get("/api/exports/{version}/changes", tags=["results"], responses=NOT_FOUND)
    def changes(version: Version, since: Annotated[int, Query(ge=1, le=2**31 - 1)]) -> ChangesOut:
        """What changed from the export ``since`` to this one."""
        from saywhere.annotate.exports.manifest import compare

        return ChangesOut.model_validate(compare(versions.manifest(since), versions.manifest(version)))

    @app.get("/api/exports/{version}/file", tags=["results"], response_class=FileResponse, responses=NOT_FOUND | FILE)
    def file(version: Version) -> FileResponse:
        """The file of one of the last exports."""
        return _file_response(files.find(version))


def _export_out(manifest: dict[str, Any], changes: dict[str, Any] | None = None, name: str | None = None) -> ExportOut:
    from saywhere.data.notes import group_notes

    kept = {key: manifest[key] for key in ("version", "created", "person", "options", "counts", "left_out")}
    found = None if changes is None else ChangesOut.model_validate(changes)
    return ExportOut(**kept, notes=group_notes(manifest["notes"]), changes=found, name=name)


def _file_response(path: Path, background: BackgroundTask | None = None) -> FileResponse:
    kind = "application/json" if path.suffix == ".json" else "application/zip"
    return FileResponse(path, media_type=kind, filename=path.name, background=background)
