"""Routes of fine-tuning: it is started, watched, cancelled; the new weights are used, or no more."""

from __future__ import annotations

from typing import Literal

from fastapi import FastAPI
from pydantic import BaseModel, Field

from saywhere.annotate.finetuning import FineTuningState
from saywhere.annotate.service import Annotator


class FigureOut(BaseModel):
    """A figure of the held-out objects, before and after."""

    figure: str = Field(description="noc90: clicks to an IoU of 0.9; miou1: mean IoU after one click; and so on")
    before: float
    after: float
    low: float = Field(description="lower end of the 95 % interval of the difference")
    high: float = Field(description="upper end")


class FineTuningOut(BaseModel):
    """How far fine-tuning is, and what it brought."""

    problem: str | None = Field(description="why it cannot be started; null where it can")
    status: Literal["none", "running", "interrupted", "failed", "finished"]
    phase: str | None = Field(description="before, training or after, while it runs")
    share: float = Field(description="how much of the phase is done, 0 to 1")
    message: str | None = Field(description="why it failed")
    figures: list[FigureOut]
    trained: int = Field(description="objects that were learned from")
    held_out: int = Field(description="objects that were held out")
    improved: bool = Field(description="whether the new weights are better on the held-out objects")
    verdict: str | None
    notes: list[str]
    in_use: bool = Field(description="whether the server uses weights that were made here")

    @classmethod
    def of(cls, state: FineTuningState) -> FineTuningOut:
        """For the page."""
        result = state.result or {}
        objects = result.get("objects", {})
        figures = [
            FigureOut(figure=each["figure"], before=each["a"], after=each["b"], low=each["low"], high=each["high"])
            for each in result.get("differences", [])
        ]
        return cls(
            problem=state.problem, status=state.status, phase=state.phase, share=state.share, message=state.message,
            figures=figures, trained=objects.get("trained", 0), held_out=objects.get("held_out", 0),
            improved=result.get("improved", False), verdict=result.get("verdict"), notes=result.get("notes", []),
            in_use=state.in_use,
        )  # fmt: skip


def add_finetuning_routes(app: FastAPI, annotator: Annotator) -> None:
    """Add the routes of fine-tuning."""
    tuning = annotator.finetuning

    @app.get("/api/finetuning", tags=["project"])
    def finetuning() -> FineTuningOut:
        """How far fine-tuning on the images that are done is."""
        return FineTuningOut.of(tuning.state())

    @app.post("/api/finetuning", tags=["project"])
    def start_finetuning() -> FineTuningOut:
        """Begin in the background, or go on with a run that was interrupted."""
        return FineTuningOut.of(tuning.start())

    @app.delete("/api/finetuning", tags=["project"])
    def cancel_finetuning() -> FineTuningOut:
        """End the run and forget it. Weights that are in use stay."""
        return FineTuningOut.of(tuning.cancel())

    @app.post("/api/finetuning/accept", tags=["project"])
    def accept_finetuning() -> FineTuningOut:
        """Use the new weights from the next click on."""
        return FineTuningOut.of(tuning.accept())

    @app.post("/api/finetuning/undo", tags=["project"])
    def undo_finetuning() -> FineTuningOut:
        """Use the weights again that the server started with."""
        return FineTuningOut.of(tuning.undo())
