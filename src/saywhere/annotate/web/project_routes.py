"""Routes of the whole project: what it is, statistics, export."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Literal

from fastapi import FastAPI, Query, Response
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask

from saywhere.annotate import stats
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.common import Responses
from saywhere.annotate.web.responses import LabelOut, ProjectOut

CSV: Responses = {200: {"content": {"text/csv": {}}, "description": "a row for each object"}}
EXPORT: Responses = {200: {"content": {"application/json": {}, "application/zip": {}}, "description": "a file"}}


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
