"""Routes of the whole project: labels, statistics, export."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Response
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from pydantic import Field
from starlette.background import BackgroundTask

from saywhere.annotate import stats
from saywhere.annotate.actions import Name, Strict
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.common import CONFLICT, NOT_FOUND, Responses
from saywhere.annotate.web.responses import LabelOut, ProjectOut

CSV: Responses = {200: {"content": {"text/csv": {}}, "description": "a row for each object"}}
EXPORT: Responses = {200: {"content": {"application/json": {}, "application/zip": {}}, "description": "a file"}}
Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
LabelKey = Annotated[str, Field(pattern=r"^[0-9]?$")]


class LabelIn(Strict):
    """A new label; colour and key are chosen where they are not given."""

    name: Name
    colour: Colour | None = None
    key: LabelKey | None = None


class LabelChange(Strict):
    """What to change of a label; a hidden label stays with the objects that have it."""

    name: Name | None = None
    colour: Colour | None = None
    key: LabelKey | None = None
    hidden: bool | None = None


def add_project_routes(app: FastAPI, annotator: Annotator) -> None:
    """Add the routes of the project."""
    store = annotator.store

    @app.get("/api/project", tags=["project"])
    def project() -> ProjectOut:
        """The folder, its labels, and the network."""
        counts, runtime = store.count_images(), annotator.segmenters.runtime
        capabilities = runtime.capabilities
        return ProjectOut(
            name=annotator.folder.root.name, images=sum(counts.values()), counts=counts, model=runtime.name,
            weights=runtime.digest, phrases=capabilities.phrases, boxes=capabilities.boxes,
            candidates=capabilities.candidates, max_clicks=capabilities.max_clicks,
            negative_clicks=capabilities.negative_clicks, drags=capabilities.drags, study=annotator.study,
            labels=[LabelOut.of(row) for row in store.visible_labels()], notes=list(store.notes),
        )  # fmt: skip

    @app.post("/api/rescan", tags=["project"])
    def rescan() -> ProjectOut:
        """List the folder's images anew."""
        annotator.rescan()
        return project()

    @app.post("/api/labels", tags=["project"], status_code=201)
    def add_label(label: LabelIn) -> LabelOut:
        """Create a label; the existing one where there is one of this name."""
        return LabelOut.of(store.add_label(label.name, label.colour, label.key))

    @app.patch("/api/labels/{label}", tags=["project"], responses=NOT_FOUND | CONFLICT)
    def change_label(label: Annotated[int, PathParameter(ge=1, le=2**31 - 1)], change: LabelChange) -> LabelOut:
        """Change a label's name, colour or key, or hide it."""
        values = {name: value for name, value in change.model_dump().items() if value is not None}
        return LabelOut.of(store.change_label(label, values))

    @app.get("/api/stats", tags=["results"])
    def statistics() -> stats.StatsOut:
        """Interactions and time by object."""
        return stats.project_stats(store)

    @app.get("/api/stats.csv", tags=["results"], response_class=Response, responses=CSV)
    def statistics_table() -> Response:
        """The same as a table with a row for each object. The name of a study's file says its interactions."""
        name = "statistics" if annotator.study is None else f"study-{annotator.study}"
        headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
        return Response(stats.stats_csv(store), media_type="text/csv; charset=utf-8", headers=headers)

    @app.get("/api/export", tags=["results"], response_class=FileResponse, responses=EXPORT)
    def export_masks(
        format: Literal["coco", "voc", "yolo", "labelme", "png"] = "coco",
        done: Annotated[bool, Query(description="only images that are done; else those with objects too")] = True,
    ) -> FileResponse:
        """The masks of images that are done: COCO JSON, or a ZIP in another format, without the images."""
        # The formats need SciPy, which takes longer to import than the rest of the server.
        from saywhere.annotate.exports.write import write_export

        folder = tempfile.TemporaryDirectory(prefix="saywhere-")
        try:
            path = write_export(store, annotator.folder, Path(folder.name), format, done)
        except BaseException:
            folder.cleanup()
            raise
        kind = "application/json" if format == "coco" else "application/zip"
        return FileResponse(path, media_type=kind, filename=path.name, background=BackgroundTask(folder.cleanup))
