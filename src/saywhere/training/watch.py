"""What a person can see of a run while it goes on: masks of a few objects, and TensorBoard's files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from torch import nn

from saywhere.core import robot
from saywhere.core.arrays import ImageArray
from saywhere.core.atomic import write_atomically
from saywhere.core.images import read_image
from saywhere.core.metrics import iou
from saywhere.core.render import draw
from saywhere.data.datasets import Sample, load_dataset
from saywhere.errors import SaywhereError, needing
from saywhere.interactive.segmenter import Segmenter
from saywhere.models.base import InteractiveModel
from saywhere.runtime.torch import TorchRuntime
from saywhere.training.recipe import Recipe

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

SAMPLES = "samples"  # folder of the pictures, in that of a stage
SIDE = 192  # pixels of a picture's sides


class RunWatch:
    """Pictures and events of one stage.

    Args:
        recipe: the settings; ``sample_masks`` is how many objects are drawn, ``tensorboard`` whether there are events.
        folder: of the stage.

    Raises:
        SaywhereError: TensorBoard is asked for and not installed.
    """

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.folder = folder
        self._samples = sample_objects(recipe)
        self._writer: SummaryWriter | None = None
        if recipe.tensorboard:
            with needing("tensorboard", "recipe key tensorboard"):
                from torch.utils.tensorboard import SummaryWriter
            self._writer = SummaryWriter(str(folder))

    def figures(self, step: int, values: Mapping[str, Any]) -> None:
        """Add figures of a step to TensorBoard's events."""
        if self._writer is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._writer.add_scalar(name, value, step)

    def masks(self, step: int, model: nn.Module) -> None:
        """Draw the mask of the first click on each object, side by side, into ``samples/STEP.jpg``."""
        if not self._samples:
            return
        drawn = np.hstack([one_click(model, sample) for sample in self._samples])
        _, packed = cv2.imencode(".jpg", drawn[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
        (self.folder / SAMPLES).mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / SAMPLES / f"{step:08}.jpg", packed.tobytes())
        if self._writer is not None:
            self._writer.add_image(SAMPLES, drawn, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is still in memory."""
        if self._writer is not None:
            self._writer.close()


def sample_objects(recipe: Recipe) -> list[Sample]:
    """Objects of the validation data, evenly spread; none without such data."""
    count = recipe.sample_masks
    if not count or recipe.validation is None:
        return []
    samples = load_dataset(recipe.validation.data)
    return [samples[i * len(samples) // count] for i in range(min(count, len(samples)))]


def one_click(model: nn.Module, sample: Sample) -> ImageArray:
    """An object's image with the network's mask of the robot user's first click.

    Args:
        model: the network.
        sample: the object.

    Returns:
        ``(192, 192, 3)`` uint8 RGB, with the IoU written on it.
    """
    assert isinstance(model, InteractiveModel)
    image, target = read_image(sample.image_path), sample.target()
    click = robot.first_click(target, ignore=sample.ignore())
    try:
        segmenter = Segmenter(TorchRuntime(model, "training")).set_image(image)
        mask = segmenter.add(click)
    except SaywhereError:  # a network that cannot answer a click alone
        return np.zeros((SIDE, SIDE, 3), np.uint8)
    drawn = draw(image, mask.array, segmenter.prompt)
    scale = SIDE / max(drawn.shape[:2])
    small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:SIDE, :SIDE]
    framed = np.zeros((SIDE, SIDE, 3), np.uint8)
    framed[: small.shape[0], : small.shape[1]] = small
    text = f"{iou(mask.array, target, sample.ignore()):.2f}"
    cv2.putText(framed, text, (4, SIDE - 6), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
    return framed
