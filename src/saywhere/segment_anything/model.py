"""What stands for SAM's model: a network by name, and the sizes that programs ask it for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from saywhere.errors import SaywhereError
from saywhere.interactive.load import load
from saywhere.interactive.segmenter import Segmenter

if TYPE_CHECKING:
    import torch

IMAGE_SIZE = 1024  # longer side of SAM's frame, in which predict_torch takes prompts


@dataclass(frozen=True)
class ImageEncoder:
    """What programs ask SAM's encoder for.

    Attributes:
        img_size: longer side of the frame in which tensors are given, in pixels.
    """

    img_size: int = IMAGE_SIZE


class Sam:
    """Our network, or another one by name, in the place of SAM's model.

    Args:
        weights: what :func:`saywhere.load` takes, or a Segmenter.

    Attributes:
        segmenter: the network with its settings; without an image.
        mask_threshold: logits above it belong to the mask.
        image_format: of :meth:`SamPredictor.set_image`.

    Raises:
        SaywhereError: as for :func:`saywhere.load`.
    """

    mask_threshold = 0.0
    image_format = "RGB"
    image_encoder = ImageEncoder()

    def __init__(self, weights: str | Segmenter | None = None) -> None:
        self._weights = weights
        self.segmenter = weights if isinstance(weights, Segmenter) else load(weights)

    def to(self, device: Any = None) -> Self:
        """Compute on a device, such as "cuda"; another one than the processor needs ``saywhere[torch]``.

        Raises:
            SaywhereError: there is no such device.
        """
        name = None if device is None else str(device)
        if name is not None and name != self.segmenter.runtime.capabilities.device:
            if isinstance(self._weights, Segmenter):
                raise SaywhereError(f"device '{name}': give it to saywhere.load, which makes the Segmenter")
            self.segmenter = load(self._weights, name)
        return self

    def eval(self) -> Self:
        """Nothing: the network is never trained here."""
        return self

    @property
    def device(self) -> torch.device:
        """Where tensors are given and returned; needs torch."""
        from torch import device

        return device(self.segmenter.runtime.capabilities.device)

    def __call__(
        self, batched_input: Sequence[Mapping[str, Any]], multimask_output: bool
    ) -> list[dict[str, torch.Tensor]]:
        """Masks for a batch of images with their prompts, as SAM's ``forward``.

        Args:
            batched_input: for each image ``image`` ``(3, H, W)`` and ``original_size``; ``point_coords``
                ``(B, N, 2)`` with ``point_labels`` ``(B, N)``, ``boxes`` ``(B, 4)`` and ``mask_inputs``
                ``(B, 1, 256, 256)``, as far as there are any, in the frame of the image.
            multimask_output: whether to return all candidates.

        Returns:
            For each image ``masks`` ``(B, C, H, W)``, ``iou_predictions`` and ``low_res_logits``.
        """
        from saywhere.segment_anything.tensors import predict_record

        return [predict_record(self.segmenter, each, multimask_output) for each in batched_input]
