"""A recipe: everything that decides how a network is trained, checked before the first step."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from saywhere.models.losses import LOSSES
from saywhere.training.recipe_parts import (
    AugmentRecipe,
    CandidatesRecipe,
    ClicksRecipe,
    CropRecipe,
    DataRecipe,
    ImageTokensRecipe,
    ModelRecipe,
    OptimiserRecipe,
    PhrasesRecipe,
    RecipePart,
    SamplingRecipe,
    TeacherRecipe,
    ValidationRecipe,
)

EPOCHS = re.compile(r"(\d+(?:\.\d+)?) epochs?")


class Recipe(RecipePart):
    """A training run, or several that follow each other (see :mod:`saywhere.training.stages`)."""

    renamed: ClassVar[Mapping[str, str]] = {"parts": "micro_batches", "robots": "robot_processes"}

    name: str = Field("", description="what the weights say they were made by; the file's name by default")
    model: ModelRecipe
    data: tuple[DataRecipe, ...] = Field(min_length=1)
    sampling: SamplingRecipe = SamplingRecipe()
    crop: CropRecipe = CropRecipe()
    augment: AugmentRecipe = AugmentRecipe()
    clicks: ClicksRecipe = ClicksRecipe()
    phrases: PhrasesRecipe = PhrasesRecipe()
    image_tokens: ImageTokensRecipe = ImageTokensRecipe()
    teacher: TeacherRecipe = TeacherRecipe()
    loss: dict[str, float] = Field({"bce": 1.0, "dice": 1.0}, description="weights of losses, see models/losses.py")
    loss_reduction: Literal["mean", "sum"] = Field(
        "mean", description="whether losses are means over an image's pixels or sums; both are means over the batch"
    )
    candidates: CandidatesRecipe = CandidatesRecipe()
    optimiser: OptimiserRecipe = OptimiserRecipe()
    validation: ValidationRecipe | None = None
    batch: int = Field(16, ge=1, description="samples of a step, over all processes")
    processes: int = Field(1, ge=1, description="processes that share a batch where there is no GPU")
    micro_batches: int = Field(
        1, ge=1, description="parts of a batch that are worked on in turns: one while another waits for its clicks"
    )
    robot_processes: int = Field(
        0, ge=0, description="processes that compute corrections; 0: the training process computes them"
    )
    steps: int = Field(10_000, ge=1, description='a number, or of epochs: "20 epochs", which takes epoch_samples')
    epoch_samples: int | None = Field(
        None, ge=1, description="samples of an epoch; null: as many as the data has objects, or images where these are "
        "what is drawn (sampling.unit)",
    )  # fmt: skip
    seed: int = 0
    workers: int = Field(1, ge=0, description="processes that load samples; 0: the training process loads them")
    precision: Literal["auto", "32", "bf16"] = Field("auto", description="auto: bf16 where the device computes in it")
    checkpoint_minutes: float = Field(5.0, gt=0)
    sample_masks: int = Field(
        4, ge=0, le=32, description="validation objects whose masks are drawn at each checkpoint, for saywhere report"
    )
    tensorboard: bool = Field(False, description="whether the log is also written as TensorBoard's events")
    stages: dict[str, dict[str, Any]] = Field(
        {}, description="runs that follow each other, by name: what each changes, and after which stage it comes"
    )
    average: tuple[str, ...] = Field((), description="stages whose mean is the result; by default the last stage is it")

    @model_validator(mode="before")
    @classmethod
    def epochs_to_steps(cls, values: Any) -> Any:
        steps = values.get("steps") if isinstance(values, Mapping) else None
        match = EPOCHS.fullmatch(steps.strip()) if isinstance(steps, str) else None
        if match is None:
            return values
        samples, batch = values.get("epoch_samples"), values.get("batch", cls.model_fields["batch"].default)
        if not isinstance(samples, int) or not isinstance(batch, int) or batch < 1:
            raise ValueError(f"steps: '{steps}' takes epoch_samples, the number of samples of an epoch; give it too")
        return {**values, "steps": math.ceil(float(match[1]) * samples / batch)}

    @field_validator("loss")
    @classmethod
    def losses_are_known(cls, loss: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(loss) - set(LOSSES))
        if unknown or not loss:
            raise ValueError(f"unknown losses {unknown}; choose from {', '.join(LOSSES)}")
        return loss


SECTIONS: Mapping[str, type[RecipePart]] = {
    "model": ModelRecipe,
    "data": DataRecipe,
    "sampling": SamplingRecipe,
    "crop": CropRecipe,
    "augment": AugmentRecipe,
    "clicks": ClicksRecipe,
    "phrases": PhrasesRecipe,
    "image_tokens": ImageTokensRecipe,
    "teacher": TeacherRecipe,
    "candidates": CandidatesRecipe,
    "optimiser": OptimiserRecipe,
    "validation": ValidationRecipe,
}
"""The sections of a recipe by their key."""
