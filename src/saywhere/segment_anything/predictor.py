"""SAM's predictor with our network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from saywhere.core.arrays import FloatArray
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_image
from saywhere.core.numbers import describe
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.segment_anything.model import Sam
from saywhere.segment_anything.utils.transforms import ResizeLongestSide

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class NoImageError(SaywhereError, RuntimeError):
    """Asked for masks before there is an image; SAM raises a RuntimeError, too."""


class SamPredictor:
    """Segments one image by prompts, with the methods, arguments and shapes of SAM's predictor.

    Only what takes or returns tensors needs torch.

    Args:
        sam_model: of :data:`sam_model_registry`, or a Segmenter.

    Attributes:
        model: the model.
        transform: to SAM's frame, in which tensors are given.
        is_image_set: whether there is an image.
        original_size: height and width of the image.
        input_size: the same in SAM's frame.

    Example:
        >>> from saywhere.segment_anything import sam_model_registry
        >>> predictor = SamPredictor(sam_model_registry["vit_b"]())
        >>> predictor.set_image(np.zeros((48, 64, 3), np.uint8))
        >>> masks, scores, logits = predictor.predict(np.array([[35, 20]]), np.array([1]))
        >>> masks.shape, scores.shape, logits.shape
        ((3, 48, 64), (3,), (3, 256, 256))
    """

    def __init__(self, sam_model: Sam | Segmenter) -> None:
        self.model = Sam(sam_model) if isinstance(sam_model, Segmenter) else sam_model
        self.transform = ResizeLongestSide(self.model.image_encoder.img_size)
        self._segmenter: Segmenter | None = None
        self.is_image_set = False
        self.original_size: tuple[int, int] = (0, 0)
        self.input_size: tuple[int, int] = (0, 0)

    def set_image(self, image: NDArray[np.uint8] | Image.Image, image_format: str = "RGB") -> None:
        """Encode an image.

        Args:
            image: ``(H, W, 3)`` uint8.
            image_format: the order of its channels, "RGB" or "BGR".

        Raises:
            SaywhereError: it is no such image, or there is no such order.
        """
        if image_format not in ("RGB", "BGR"):
            raise SaywhereError(f"image_format {describe(image_format)}: give 'RGB' or 'BGR'")
        pixels = read_image(image)
        if image_format != self.model.image_format:
            pixels = np.ascontiguousarray(pixels[..., ::-1])
        height, width = pixels.shape[:2]
        self._set(pixels, self.transform.get_preprocess_shape(height, width, self.transform.target_length))

    def set_torch_image(self, transformed_image: Tensor, original_image_size: tuple[int, ...]) -> None:
        """Encode an image that is in SAM's frame already.

        Args:
            transformed_image: ``(1, 3, H, W)``, values 0 to 255, whose longer side has 1024 pixels.
            original_image_size: height and width of the image before.

        Raises:
            SaywhereError: it has another shape.
        """
        from saywhere.segment_anything.tensors import image_of

        shape, side = tuple(transformed_image.shape), self.model.image_encoder.img_size
        if len(shape) != 4 or shape[:2] != (1, 3) or max(shape[2:]) != side:
            raise SaywhereError(f"transformed_image of shape {shape}: give (1, 3, H, W) with a longer side of {side}")
        self._set(image_of(transformed_image[0], ImageSize(*original_image_size[:2])), (shape[2], shape[3]))

    def _set(self, pixels: NDArray[np.uint8], input_size: tuple[int, int]) -> None:
        self.reset_image()
        source = self.model.segmenter
        self._segmenter = Segmenter(source.runtime, source.settings).set_image(pixels)
        self.original_size = (pixels.shape[0], pixels.shape[1])
        self.input_size = input_size
        self.is_image_set = True

    @property
    def segmenter(self) -> Segmenter:
        """The Segmenter with the image, for phrases, drags and all else that SAM's predictor has not.

        Raises:
            NoImageError: there is no image yet.
        """
        if self._segmenter is None:
            raise NoImageError("no image yet: call set_image before masks are predicted")
        return self._segmenter

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], FloatArray, FloatArray]:
        """Masks for a prompt.

        Args:
            point_coords: ``(N, 2)`` x and y in pixels.
            point_labels: ``(N,)``, 1 on the object, 0 off it.
            box: ``(4,)`` or ``(1, 4)`` left, top, right and bottom.
            mask_input: ``(1, 256, 256)`` logits of an earlier call.
            multimask_output: whether to return all candidate masks instead of one, smallest area first.
            return_logits: whether masks are logits instead of bool.

        Returns:
            Masks ``(C, H, W)``, predicted IoU ``(C,)``, and logits ``(C, 256, 256)`` for a later ``mask_input``.

        Raises:
            NoImageError: there is no image yet.
            SaywhereError: as for :meth:`saywhere.Segmenter.predict`.
        """
        return self.segmenter.predict(
            point_coords, point_labels, None, mask_input, multimask_output, box, return_logits
        )

    def predict_torch(
        self,
        point_coords: Tensor | None,
        point_labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_input: Tensor | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Masks for a batch of prompts, which are in SAM's frame (``transform``).

        Args:
            point_coords: ``(B, N, 2)``.
            point_labels: ``(B, N)``.
            boxes: ``(B, 4)``.
            mask_input: ``(B, 1, 256, 256)``.
            multimask_output: whether to return all candidate masks instead of one.
            return_logits: whether masks are logits instead of bool.

        Returns:
            Masks ``(B, C, H, W)``, predicted IoU ``(B, C)``, and logits ``(B, C, 256, 256)``.

        Raises:
            NoImageError: there is no image yet.
            SaywhereError: the shapes do not belong together, or as for :meth:`predict`.
        """
        from saywhere.segment_anything.tensors import predict_tensors

        return predict_tensors(
            self.segmenter, ImageSize(*self.input_size), point_coords, point_labels, boxes, mask_input,
            multimask_output, return_logits,
        )  # fmt: skip

    def get_image_embedding(self) -> Tensor:
        """Features of the image, ``(1, C, h, w)``; with our network a cell is 16 pixels of the encoded image.

        Raises:
            NoImageError: there is no image yet.
            SaywhereError: the network has no features of the image alone.
        """
        import torch

        encoded = self.segmenter.encoded
        embedding = self.segmenter.runtime.embedding(encoded.features(encoded.full_crop))
        return torch.from_numpy(np.ascontiguousarray(embedding))[None].to(self.device)

    @property
    def device(self) -> torch.device:
        """Where tensors are returned; needs torch."""
        return self.model.device

    def reset_image(self) -> None:
        """Forget the image."""
        self._segmenter, self.is_image_set = None, False
        self.original_size = self.input_size = (0, 0)
