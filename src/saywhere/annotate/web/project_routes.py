"""Routes of the whole project: what it is, statistics."""

from __future__ import annotations

from fastapi import FastAPI, Response

from saywhere.annotate import stats
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.common import Responses
from saywhere.annotate.web.responses import InBrowserOut, LabelOut, ProjectOut, RescanOut

CSV: Responses = {200: {"content": {"text/csv": {}}, "description": "a row for each object"}}


def add_project_routes(app: FastAPI, annotator: Annotator) -> None:
    """Add the routes of the project."""
    store = annotator.store

    @app.get("/api/project", tags=["project"])
    def project() -> ProjectOut:
        """The folder, its labels, and the network."""
        counts, runtime = store.count_images(), annotator.segmenters.runtime
        capabilities, network = runtime.capabilities, annotator.network
        return ProjectOut(
            name=annotator.folder.root.name, images=sum(counts.values()), counts=counts, model=runtime.name,
            weights=runtime.digest, phrases=capabilities.phrases, boxes=capabilities.boxes,
            candidates=capabilities.candidates, max_clicks=capabilities.max_clicks,
            negative_clicks=capabilities.negative_clicks, drags=capabilities.drags, study=annotator.study,
            in_browser=network and InBrowserOut(address=network.address, precision=network.precision),
            labels=[LabelOut.of(row) for row in store.visible_labels()], notes=list(store.notes),
        )  # fmt: skip

    @app.post("/api/rescan", tags=["project"])
    def rescan() -> RescanOut:
        """List the folder's images anew, and say what was found."""
        report = annotator.rescan(check=True)
        return RescanOut(
            **project().model_dump(), added=report.added, gone=report.gone, renamed=report.renamed,
            unreadable=list(report.unreadable), ignored=dict(report.ignored),
        )  # fmt: skip

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
