"""The sections of a recipe, each checked by itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from saywhere.core.deprecation import rename_keys
from saywhere.core.robot import ClickPlace
from saywhere.models import MODELS


class RecipePart(BaseModel):
    """A section of a recipe. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    renamed: ClassVar[Mapping[str, str]] = {}
    """Old keys to new ones; old keys are accepted with a DeprecationWarning."""

    @model_validator(mode="before")
    @classmethod
    def rename_old_keys(cls, values: Any) -> Any:
        return rename_keys(values, cls.renamed, "recipe key ") if isinstance(values, Mapping) else values


class ModelRecipe(RecipePart):
    """The network, and the weights it starts from."""

    renamed: ClassVar[Mapping[str, str]] = {"still_norms": "freeze_batch_norm"}

    name: str = Field(description="a registered network, see saywhere.models.MODELS")
    options: dict[str, Any] = Field({}, description="keyword arguments of the network")
    pretrained: str | None = Field(None, description="safetensors of the backbone, in timm's layout, or timm/NAME")
    pretrained_tokens: str | None = Field(
        None, description="the same of the vision transformer that computes tokens (model.options.tokens)"
    )
    weights: str | None = Field(
        None, description="weights of the whole network to start from: a file, or the name of those that ship"
    )
    new: tuple[str, ...] = Field((), description="prefixes of parameters that these weights lack")
    freeze: tuple[str, ...] = Field((), description="prefixes of parameters that are not trained")
    train_only: tuple[str, ...] = Field((), description="prefixes of the only parameters that are trained; empty: all")
    freeze_batch_norm: bool = Field(
        False, description="whether batch norms use the statistics that the weights came with, in training too"
    )

    @field_validator("name")
    @classmethod
    def is_registered(cls, name: str) -> str:
        if name not in MODELS:
            raise ValueError(f"unknown model; choose one of {', '.join(MODELS)}")
        return name


class DataRecipe(RecipePart):
    """One data set, and how often its objects are drawn."""

    renamed: ClassVar[Mapping[str, str]] = {"groups": "folder_weights", "labels": "label_weights"}

    path: str = Field(description="a known data set, or a COCO JSON, as given or under SAYWHERE_DATA")
    weight: float = Field(1.0, gt=0, description="the data set's share of the samples, relative to the other data sets")
    folder_weights: dict[str, float] = Field({}, description="weight of objects by the folder of their image; else 1")
    label_weights: dict[str, float] = Field({}, description="weight of objects by their label; else 1")
    excluded_labels: tuple[str, ...] = Field(
        (), description="labels whose objects are left out, as those of several things that are labelled as one"
    )
    excluded_images: tuple[str, ...] = Field(
        (), description="known data sets whose images are left out, by the names of their files: those tested on"
    )
    salient: bool = Field(
        False, description="whether each object is what stands out in its image: then it can be asked for without a "
        "prompt, see clicks.no_prompt_prob",
    )  # fmt: skip
    labels_are_names: bool = Field(
        True, description="whether labels name what objects are; those that all objects share ('object') do not"
    )


class SamplingRecipe(RecipePart):
    """How often an object is drawn: the product of these weights and of its data set's."""

    renamed: ClassVar[Mapping[str, str]] = {
        "part": "part_weight",
        "dragged_part": "dragged_part_weight",
        "full_area": "small_area",
        "small": "min_small_weight",
    }

    unit: Literal["object", "image"] = Field(
        "object", description="object: objects are drawn alike, but for their weights; image: images are, and then one "
        "of the image's objects",
    )  # fmt: skip
    balance_sets: bool = Field(
        True, description="whether a data set's share of the samples is its weight, however large it is; else that "
        "times its number of objects or images, as if all were one set",
    )  # fmt: skip
    part_weight: float = Field(0.2, ge=0, description="weight of an object that lies inside another labelled one")
    dragged_part_weight: float | None = Field(
        None, ge=0, description="the same for samples whose clicks carry a radius; null: part_weight"
    )
    small_area: float = Field(
        0.02, ge=0, description="objects below this share of the image weigh as much less as they are smaller"
    )
    min_small_weight: float = Field(0.05, gt=0, le=1, description="the smallest weight of a small object")


class CropRecipe(RecipePart):
    """How an object is shown."""

    renamed: ClassVar[Mapping[str, str]] = {
        "whole_photo": "full_image_prob",
        "paste": "copy_paste_prob",
        "cache": "cached_images",
    }

    size: int = Field(256, ge=64, multiple_of=32, description="side of a crop, in pixels")
    sizes: tuple[int, ...] = Field(
        (), description="sides of crops, of which each step draws one, so that the network learns several resolutions; "
        "empty: always size",
    )  # fmt: skip
    mode: Literal["object", "stretch", "scale"] = Field(
        "object", description="object: a square around the object or the image (full_image_prob, zoom); stretch: the "
        "whole image, resized to a square; scale: the image is resized (scale, scale_base), and a square of it cut "
        "at random",
    )  # fmt: skip
    full_image_prob: float = Field(0.4, ge=0, le=1, description="probability that a crop shows the whole image")
    zoom: tuple[float, float] = Field(
        (1.1, 2.2), description="otherwise, the range of the crop's side over the object's longer side"
    )
    scale: tuple[float, float] = Field(
        (1.0, 1.0), description="range of the factor by which mode scale resizes an image"
    )
    scale_base: Literal["image", "size"] = Field(
        "image", description="what that factor is of: the image's own size, or a shorter side of as many pixels as the "
        "crop has",
    )  # fmt: skip
    copy_paste_prob: float = Field(
        0.0, ge=0, le=1,
        description="probability of copy-paste augmentation in a sample without a phrase: the object is pasted into "
        "another image, or another image's object is pasted into the crop",
    )  # fmt: skip
    cached_images: int = Field(0, ge=0, description="decoded images that a loader keeps in memory")

    @field_validator("sizes")
    @classmethod
    def sizes_are_multiples(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if wrong := [size for size in sizes if size < 64 or size % 32]:
            raise ValueError(f"{wrong}: give multiples of 32, at least 64")
        return sizes


class AugmentRecipe(RecipePart):
    """How crops are changed at random, one kind of change after another."""

    flip_prob: float = Field(0.5, ge=0, le=1, description="probability that left and right are swapped")
    rotation_prob: float = Field(0.25, ge=0, le=1, description="probability of a rotation")
    rotation_degrees: float = Field(20.0, ge=0, le=180, description="the largest rotation, in either direction")
    aspect_jitter: float = Field(
        0.15, ge=0, le=1, description="the largest logarithm of the factor by which a crop is widened and flattened"
    )
    brightness_prob: float = Field(
        0.7, ge=0, le=1, description="probability of another contrast (0.7 to 1.3 times), brightness (up to 30 of 255 "
        "levels) and gamma (0.7 to 1.4)",
    )  # fmt: skip
    hue_prob: float = Field(
        0.4, ge=0, le=1, description="probability of another hue (up to 24 degrees) and saturation (0.5 to 1.5 times)"
    )
    grey_prob: float = Field(0.05, ge=0, le=1, description="probability that colour is removed")
    blur_prob: float = Field(0.1, ge=0, le=1, description="probability of Gaussian blur, of 0.5 to 1.5 pixels")
    noise_prob: float = Field(0.1, ge=0, le=1, description="probability of Gaussian noise, of 2 to 10 of 255 levels")
    jpeg_prob: float = Field(0.1, ge=0, le=1, description="probability of JPEG compression, of quality 30 to 89")


class ClicksRecipe(RecipePart):
    """What the robot user does."""

    renamed: ClassVar[Mapping[str, str]] = {
        "several_first": "multi_click_prob",
        "drag": "drag_prob",
        "no_new_click": "no_new_click_prob",
        "blurred_previous": "coarse_previous_prob",
        "no_previous": "no_previous_prob",
        "rounds": "max_rounds",
        "update_each": "update_every_round",
    }

    robot: Literal["mixed", "protocol", "tap"] = Field(
        "mixed",
        description="mixed: one or several initial clicks at random places, random corrections; protocol: the robot of "
        "the evaluation protocol; tap: one click near the object's centre",
    )
    update_every_round: bool = Field(False, description="whether the optimiser steps after each round, not each batch")
    max_rounds: int = Field(3, ge=1, description="each step draws a number of rounds from 1 to this one")
    multi_click_prob: float = Field(0.3, ge=0, le=1, description="probability of several initial clicks")
    positive_clicks: tuple[int, int] = Field((1, 4), description="the fewest and the most positive ones of these")
    negative_clicks: tuple[int, int] = Field((0, 3), description="the fewest and the most negative ones of these")
    drag_prob: float = Field(0.4, ge=0, le=1, description="probability that a sample's clicks carry a radius")
    no_new_click_prob: float = Field(
        0.2, ge=0, le=1, description="probability that a round adds no click and only refines the previous mask"
    )
    coarse_previous_prob: float = Field(0.2, ge=0, le=1, description="probability that the previous mask is coarsened")
    no_previous_prob: float = Field(0.05, ge=0, le=1, description="probability that the previous mask is hidden")
    first_click: dict[ClickPlace, float] = Field(
        {},
        description="relative frequencies of the places of a single first click (centre: farthest from the boundary; "
        "tap: around it; uniform: anywhere on the object; rim: near its boundary); empty: as the robot has it",
    )
    consistency_weight: float = Field(
        0.0, ge=0, description="weight of the difference from the mask of a click at the centre, where the first click "
        "is another single one",
    )  # fmt: skip
    part_single_click_prob: float = Field(
        0.0, ge=0, le=1, description="probability that a single click may mean a part of an object, which takes "
        "candidate masks; otherwise a part gets a negative click too, a drag, a box or its name",
    )  # fmt: skip
    no_prompt_prob: float = Field(
        0.0, ge=0, le=1, description="probability that a salient object (data.salient) comes without any prompt"
    )
    box_prob: float = Field(0.0, ge=0, le=1, description="probability that a sample has a box prompt")
    box_only_prob: float = Field(0.5, ge=0, le=1, description="probability that a box comes without a first click")
    box_jitter: float = Field(
        0.08, ge=0, le=0.2, description="standard deviation of a box's edges over the object's width or height"
    )

    @field_validator("positive_clicks", "negative_clicks")
    @classmethod
    def range_is_ordered(cls, numbers: tuple[int, int], info: ValidationInfo) -> tuple[int, int]:
        least = 1 if info.field_name == "positive_clicks" else 0
        if not least <= numbers[0] <= numbers[1]:
            raise ValueError(f"{list(numbers)}: give the fewest and the most clicks, at least {least}")
        return numbers

    @field_validator("first_click")
    @classmethod
    def frequencies_are_positive(cls, frequencies: dict[ClickPlace, float]) -> dict[ClickPlace, float]:
        if frequencies and (min(frequencies.values()) < 0 or sum(frequencies.values()) <= 0):
            raise ValueError(f"{frequencies}: give frequencies of 0 or more, at least one above 0")
        return frequencies


class CandidatesRecipe(RecipePart):
    """How several candidate masks are trained (the network's option ``candidates``); else without effect."""

    first_mean_share: float = Field(
        0.0, ge=0, le=1, description="after one interaction: share of the candidates' mean loss beside their minimum"
    )
    later_mean_share: float = Field(0.5, ge=0, le=1, description="the same after several interactions")
    iou_weight: float = Field(1.0, ge=0, description="weight of the regression of each candidate's IoU")
    ranking_weight: float = Field(1.0, ge=0, description="weight of the ranking of each image's candidates")
    part_weight: float = Field(
        1.0, ge=0, description="weight of both of a part's single click, beside those of other samples: below 1 the "
        "whole is the default where a click may mean either",
    )  # fmt: skip
    lr_factor: float = Field(
        1.0, ge=0, description="learning rate of what predicts the IoU over that of the rest of the network"
    )


class PhrasesRecipe(RecipePart):
    """Which phrases come with a sample, and which objects are drawn for them."""

    renamed: ClassVar[Mapping[str, str]] = {
        "share": "phrase_prob",
        "wrong": "wrong_phrase_prob",
        "alone": "phrase_only_prob",
        "described": "described_phrase_prob",
        "part": "part_weight",
        "full_area": "small_area",
        "rare": "rare_label_power",
    }

    phrase_prob: float = Field(0.0, ge=0, le=1, description="probability that a sample has a phrase")
    wrong_phrase_prob: float = Field(0.12, ge=0, le=1, description="probability that a phrase names something else")
    phrase_only_prob: float = Field(
        0.12, ge=0, le=1, description="probability that an unambiguous phrase comes without a click"
    )
    described_phrase_prob: float = Field(
        0.0, ge=0, le=1, description="probability that a right phrase has words that do not change what it names"
    )
    qualifier_prob: float = Field(
        0.5, ge=0, le=1, description="probability that a label gets left, right, largest or smallest where this tells "
        "the object from the others of its label in the image",
    )  # fmt: skip
    expression_prob: float = Field(
        1.0, ge=0, le=1, description="probability that an object with referring expressions is named by one of them; "
        "otherwise it is its label or a synonym",
    )  # fmt: skip
    part_weight: float = Field(1.0, ge=0, description="sampling.part_weight of samples with a right phrase")
    small_area: float = Field(0.005, ge=0, description="sampling.small_area of samples with a right phrase")
    rare_label_power: float = Field(
        0.5, ge=0, le=1,
        description="objects weigh one over the number of objects of their label, to this power: "
        "0 counts objects alike, 1 labels",
    )  # fmt: skip
    synonyms: dict[str, tuple[str, ...]] = Field({}, description="other words for a label")
    held_out: tuple[str, ...] = Field((), description="labels whose objects are neither drawn nor named")
    seen: tuple[str, ...] = Field((), description="the only labels whose objects are drawn and named; empty: all")


class TeacherRecipe(RecipePart):
    """An ImageNet classifier that teaches the relevance map the names and hypernyms of its classes."""

    weights: str | None = Field(
        None, description="safetensors of timm's tf_efficientnet_lite0 with its classifier; null: no teacher"
    )
    cache: str | None = Field(
        None, description="folder where what it sees in each image is kept; null: in the user's cache folder"
    )
    phrases: int = Field(8, ge=1, description="names and hypernyms of each sample; half of them apply to nothing in it")
    relevance_only: bool = Field(
        False, description="whether the relevance map alone is trained, so that masks need not be decoded"
    )


class ImageTokensRecipe(RecipePart):
    """The tokens of whole images, for a network with the option ``tokens``: they are computed once and kept."""

    cache: str | None = Field(
        None,
        description="folder where the tokens of each image are kept, 450 KB each; null: in the user's cache",
    )
    loss_weight: float = Field(
        0.0, ge=0, description="weight of the loss of the masks that tokens alone give, beside that of the network's"
    )
    alone: bool = Field(
        False, description="whether the token decoder is trained alone, which takes a third of the time"
    )
    cached_only: bool = Field(
        False, description="whether only images are drawn whose tokens are there; which those are may change meanwhile"
    )


class ScheduleRecipe(RecipePart):
    """How the learning rate changes over a run, as a class of torch.optim.lr_scheduler does it."""

    name: Literal["cosine", "constant", "step", "exponential", "polynomial"] = Field(
        "cosine", description="cosine (CosineAnnealingLR); constant; step (StepLR): times factor after each period; "
        "exponential (ExponentialLR): times factor after each epoch; polynomial (PolynomialLR): one minus the share of "
        "the run that is over, to the power",
    )  # fmt: skip
    factor: float = Field(0.1, gt=0, le=1, description="of step and exponential")
    period: int = Field(10, ge=1, description="of step, in epochs or steps")
    unit: Literal["epochs", "steps"] = Field("epochs", description="what the period of step counts")
    power: float = Field(0.9, gt=0, description="of polynomial")


class OptimiserRecipe(RecipePart):
    """An optimiser of torch.optim with its schedule, and a moving average of the weights."""

    renamed: ClassVar[Mapping[str, str]] = {
        "encoder_scale": "encoder_lr_factor",
        "final": "final_lr_factor",
        "clip": "grad_clip_norm",
        "ema": "ema_decay",
    }

    name: Literal["adamw", "adam", "sgd"] = Field("adamw", description="AdamW, Adam or SGD of torch.optim")
    lr: float = Field(1e-3, gt=0, description="learning rate after the warm-up")
    encoder_lr_factor: float = Field(0.1, ge=0, description="learning rate of the encoder over that of the rest")
    weight_decay: float = Field(1e-2, ge=0)
    decay_all: bool = Field(
        False, description="whether weight decay applies to norms and biases too, as torch's optimisers have it"
    )
    betas: tuple[float, float] = Field((0.9, 0.999), description="of Adam and AdamW")
    momentum: float = Field(0.0, ge=0, lt=1, description="of SGD")
    nesterov: bool = Field(False, description="whether the momentum of SGD is Nesterov's")
    schedule: ScheduleRecipe = ScheduleRecipe()
    warmup_steps: int = Field(200, ge=0, description="steps over which the learning rate rises; 0: none")
    final_lr_factor: float = Field(
        0.01, ge=0, le=1, description="learning rate at the end over that after the warm-up, of cosine and polynomial"
    )
    grad_clip_norm: float | None = Field(1.0, gt=0, description="the largest norm of a gradient; null: any")
    ema_decay: float | None = Field(
        0.999, ge=0, lt=1, description="decay of the moving average of the weights, which is the result; null: the "
        "weights of the last step are",
    )  # fmt: skip

    @model_validator(mode="after")
    def nesterov_needs_momentum(self) -> OptimiserRecipe:
        if self.name != "sgd" and (self.momentum or self.nesterov):
            raise ValueError(f"momentum and nesterov are of sgd, not of {self.name}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class ValidationRecipe(RecipePart):
    """What is measured during training."""

    data: str = Field(description="a known data set, or a COCO JSON")
    limit: int = Field(100, ge=1, description="the number of objects to measure, spread evenly")
    every_minutes: float = Field(20.0, gt=0)
