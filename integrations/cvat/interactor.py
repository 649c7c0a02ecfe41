"""An interaction function for CVAT's agents: masks from points on and off the object, and a box.

    cvat-cli function create-native Saywhere --function-file integrations/cvat/interactor.py
    cvat-cli function run-agent ID --function-file integrations/cvat/interactor.py

See docs/integrations.md.
"""

from __future__ import annotations

import cvat_sdk.auto_annotation as cvataa
from cvat_sdk import models
from cvat_sdk.masks import encode_mask
from PIL import Image

import saywhere
from saywhere import SaywhereError, Segmenter
from saywhere.core.prompt import Click


class Interactor:
    """Segments the object that a person points at.

    Args:
        segmenter: with the weights to use.
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter

    @property
    def spec(self) -> cvataa.InteractionFunctionSpec:
        """One point on the object or a box are enough, where the weights know boxes; else one point."""
        boxes = self._segmenter.runtime.capabilities.boxes
        return cvataa.InteractionFunctionSpec(
            min_pos_points=0 if boxes else 1, min_neg_points=0, min_bounding_boxes=0 if boxes else None
        )

    def preprocess_image(self, context: cvataa.InteractionFunctionContext, image: Image.Image) -> Segmenter:
        """The image with its features, which the agent keeps for further prompts."""
        return Segmenter(self._segmenter.runtime, self._segmenter.settings).set_image(image)

    def detect(
        self,
        context: cvataa.InteractionFunctionContext,
        pp_image: Segmenter,
        prompts: cvataa.InteractionPrompts,
    ) -> list[cvataa.InteractionResultShape]:
        """The mask after the box, then all points.

        Raises:
            SaywhereError: there is neither a box nor a point, or one is outside the image.
        """
        if not prompts.pos_points and prompts.bounding_box is None:
            raise SaywhereError("prompt: no point on the object and no box; give one of these")
        segmenter = pp_image.new_object()
        if prompts.bounding_box is not None:
            (x0, y0), (x1, y1) = prompts.bounding_box
            segmenter.box(x0, y0, x1, y1)
        for points, positive in ((prompts.pos_points, True), (prompts.neg_points, False)):
            for x, y in points:
                # CVAT's first pixel reaches from 0 to 1, ours from -0.5 to 0.5.
                segmenter.add(Click(x - 0.5, y - 0.5, positive))
        mask = segmenter.mask
        if mask is None or not (pixels := mask.array).any():
            return []
        confidence = models.AttributeValRequest(
            spec_id=int(cvataa.InteractionResultAttributes.CONFIDENCE), value=f"{min(max(mask.score, 0.0), 1.0):.4f}"
        )
        return [cvataa.InteractionResultShape(type="mask", points=encode_mask(pixels), attributes=[confidence])]


def create(model: str | None = None, device: str | None = None) -> Interactor:
    """What ``cvat-cli`` calls with its ``-p`` parameters.

    Args:
        model: weights, as for :func:`saywhere.load`.
        device: a torch device.

    Raises:
        SystemExit: the weights cannot be had. cvat-cli prints its line.
    """
    try:
        return Interactor(saywhere.load(model, device))
    except SaywhereError as error:
        raise SystemExit(f"error: {error}") from error
