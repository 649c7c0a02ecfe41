"""A recipe: everything that decides how a network is trained, as YAML that is checked before a step is made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from saywhere.core.deprecation import rename_keys
from saywhere.errors import SaywhereError
from saywhere.models import MODELS
from saywhere.models.losses import LOSSES


class RecipePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Old keys to new ones; old keys are accepted with a DeprecationWarning."""

    @model_validator(mode="before")
    @classmethod
    def rename_old_keys(cls, values: Any) -> Any:
        return rename_keys(values, cls.renamed, "recipe key ") if isinstance(values, Mapping) else values


class ModelRecipe(RecipePart):
    renamed: ClassVar[Mapping[str, str]] = {"still_norms": "freeze_batch_norm"}

    name: str
    options: dict[str, Any] = {}
    pretrained: str | None = Field(None, description="safetensors of the backbone, in timm's layout, or timm/NAME")
    weights: str | None = Field(None, description="saywhere weights to go on from")
    new: tuple[str, ...] = Field((), description="parts that these weights lack, by parameter prefix")
    freeze: tuple[str, ...] = Field((), description="parts of the network that do not learn, by parameter prefix")
    freeze_batch_norm: bool = Field(False, description="batch norms keep the statistics that the weights came with")

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        if name not in MODELS:
            raise ValueError(f"unknown model; choose one of {', '.join(MODELS)}")
        return name


class DataRecipe(RecipePart):
    path: str = Field(description="a known data set, or a COCO JSON, as given or under SAYWHERE_DATA")
    weight: float = Field(1.0, gt=0)
    groups: dict[str, float] = Field({}, description="factor on objects by their photograph's folder")
    labels: dict[str, float] = Field({}, description="factor on objects by their label")


class SamplingRecipe(RecipePart):
    """How often an object is drawn: the product of these and of its data set's factors."""

    part: float = Field(0.2, ge=0, description="factor on an object that lies inside another labelled one")
    dragged_part: float | None = Field(None, ge=0, description="the same where clicks carry a radius; None: as part")
    full_area: float = Field(0.02, ge=0, description="objects below this share of the photograph are drawn less")
    small: float = Field(0.05, gt=0, le=1, description="the least that being small leaves of an object's weight")


class CropRecipe(RecipePart):
    renamed: ClassVar[Mapping[str, str]] = {"whole_photo": "full_image_prob", "paste": "copy_paste_prob"}

    size: int = Field(256, ge=64, multiple_of=32)
    full_image_prob: float = Field(0.4, ge=0, le=1, description="share of crops that show the whole photograph")
    zoom: tuple[float, float] = Field((1.1, 2.2), description="else, the crop's side over the object's longer side")
    copy_paste_prob: float = Field(
        0.0, ge=0, le=1,
        description="share of crops without a phrase that are composed of two photographs: half of them show the "
        "object before another's, half another's object in front",
    )  # fmt: skip
    cache: int = Field(0, ge=0, description="decoded photographs that a loader keeps in memory")


class ClicksRecipe(RecipePart):
    renamed: ClassVar[Mapping[str, str]] = {
        "several_first": "multi_click_prob",
        "drag": "drag_prob",
        "no_new_click": "no_new_click_prob",
        "blurred_previous": "coarse_previous_prob",
        "no_previous": "no_previous_prob",
    }

    robot: Literal["mixed", "protocol", "tap"] = Field(
        "mixed", description="who clicks: many kinds of people, the robot of the protocol, or one tap near the centre"
    )
    update_each: bool = Field(False, description="learn after every round instead of after all of a step")
    rounds: int = Field(3, ge=1, description="the most rounds of a step; each step draws 1 to this many")
    multi_click_prob: float = Field(0.3, ge=0, le=1, description="share that starts from several clicks, not one")
    drag_prob: float = Field(0.4, ge=0, le=1, description="share of objects whose clicks carry a radius")
    no_new_click_prob: float = Field(0.2, ge=0, le=1, description="share of rounds that only refine the last mask")
    coarse_previous_prob: float = Field(0.2, ge=0, le=1, description="share of previous masks made coarse")
    no_previous_prob: float = Field(0.05, ge=0, le=1, description="share of previous masks that are not shown")


class PhrasesRecipe(RecipePart):
    renamed: ClassVar[Mapping[str, str]] = {
        "share": "phrase_prob",
        "wrong": "wrong_phrase_prob",
        "alone": "phrase_only_prob",
        "described": "described_phrase_prob",
    }

    phrase_prob: float = Field(0.0, ge=0, le=1, description="share of crops with a phrase")
    wrong_phrase_prob: float = Field(0.12, ge=0, le=1, description="share of phrases that name something else")
    phrase_only_prob: float = Field(
        0.12, ge=0, le=1, description="share of unmistakable phrases that come before any click"
    )
    described_phrase_prob: float = Field(
        0.0, ge=0, le=1, description="share of right phrases with a quality or surroundings that change no meaning"
    )
    part: float = Field(1.0, ge=0, description="factor on parts among crops with a phrase, instead of sampling.part")
    full_area: float = Field(0.005, ge=0, description="the same for sampling.full_area")
    rare: float = Field(0.5, ge=0, le=1, description="how much rare labels are favoured: 0 not at all, 1 all are alike")
    synonyms: dict[str, tuple[str, ...]] = Field({}, description="other words for a label")
    held_out: tuple[str, ...] = Field((), description="labels that are neither drawn nor named")


class OptimiserRecipe(RecipePart):
    lr: float = Field(1e-3, gt=0)
    encoder_scale: float = Field(0.1, ge=0)
    weight_decay: float = Field(1e-2, ge=0)
    warmup_steps: int = Field(200, ge=0)
    final: float = Field(0.01, ge=0, le=1, description="what the cosine schedule leaves of the learning rate")
    clip: float = Field(1.0, gt=0)
    ema: float = Field(0.999, ge=0, lt=1)


class ValidationRecipe(RecipePart):
    data: str
    limit: int = Field(100, ge=1)
    every_minutes: float = Field(20.0, gt=0)


class Recipe(RecipePart):
    renamed: ClassVar[Mapping[str, str]] = {"parts": "micro_batches", "robots": "robot_processes"}

    model: ModelRecipe
    data: tuple[DataRecipe, ...] = Field(min_length=1)
    sampling: SamplingRecipe = SamplingRecipe()
    crop: CropRecipe = CropRecipe()
    clicks: ClicksRecipe = ClicksRecipe()
    phrases: PhrasesRecipe = PhrasesRecipe()
    loss: dict[str, float] = {"bce": 1.0, "dice": 1.0}
    optimiser: OptimiserRecipe = OptimiserRecipe()
    validation: ValidationRecipe | None = None
    batch: int = Field(16, ge=1, description="crops a step, over all processes")
    processes: int = Field(1, ge=1, description="processes that share a batch, where there is no GPU: one a core")
    micro_batches: int = Field(
        1, ge=1, description="parts of a batch that are learned from in turns: one while another waits for clicks"
    )  # fmt: skip
    robot_processes: int = Field(0, ge=0, description="processes that work out clicks; 0: the one that trains")
    steps: int = Field(10_000, ge=1)
    seed: int = 0
    workers: int = Field(1, ge=0)
    precision: Literal["auto", "32", "bf16"] = "auto"
    checkpoint_minutes: float = Field(5.0, gt=0)

    @field_validator("loss")
    @classmethod
    def losses_known(cls, loss: dict[str, float]) -> dict[str, float]:
        unknown = sorted(set(loss) - set(LOSSES))
        if unknown or not loss:
            raise ValueError(f"unknown losses {unknown}; choose from {', '.join(LOSSES)}")
        return loss


def read_recipe(path: Path) -> Recipe:
    """A recipe from a YAML file; SaywhereError names the key that is wrong and what it may be.

    ``extends: FILE``, beside it, takes all from another recipe but what this one says; a part such as ``clicks`` is
    taken key by key.
    """
    content = _content(path)
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
        raise SaywhereError(f"recipe '{path}': {faults}") from error


def _content(path: Path, above: tuple[Path, ...] = ()) -> Any:
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SaywhereError(f"recipe '{path}': cannot be read as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict) or "extends" not in content:
        return content
    base = path.parent / str(content.pop("extends"))
    if base in (*above, path):
        raise SaywhereError(f"recipe '{path}': extends itself by way of '{base}'; name another recipe")
    extended = _content(base, (*above, path))
    if not isinstance(extended, dict):
        raise SaywhereError(f"recipe '{path}': extends '{base}', which is no recipe")
    for key, value in content.items():
        known = extended.get(key)
        extended[key] = known | value if isinstance(known, dict) and isinstance(value, dict) else value
    return extended
