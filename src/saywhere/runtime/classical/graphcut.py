"""Interactive graph cut (Boykov and Jolly 2001): colour models from the seeds, contrast between neighbours."""

from __future__ import annotations

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.graphcut import cut
from saywhere.core.prompt import Prompt
from saywhere.errors import needing
from saywhere.runtime.base import Runtime
from saywhere.runtime.classical.base import COLOUR_RADIUS, Seeds, components_with_seed, mask_to_logits
from saywhere.runtime.classical.colours import colour_costs


class GraphCut(Runtime):
    """Minimises ``sum -log P(colour | side) + SMOOTHNESS * sum exp(-contrast)`` with fixed seeds."""

    name = "graph-cut"

    def __init__(self) -> None:
        with needing("bench", "graph-cut"):
            import scipy.sparse.csgraph  # noqa: F401

    def encode(self, image: ImageArray) -> ImageArray:
        return image

    def decode(self, features: ImageArray, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        seeds = Seeds.from_prompt(prompt, features.shape[:2])
        bordered = seeds.with_border()
        object_cost, background_cost = colour_costs(
            features, Seeds.from_prompt(prompt, features.shape[:2], COLOUR_RADIUS)
        )
        inside = cut(features, object_cost, background_cost, bordered.foreground, bordered.background)
        return mask_to_logits(components_with_seed(inside, seeds.foreground))
