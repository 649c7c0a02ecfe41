"""The classes of Meta's package ``segment_anything``, with our network: only the import line of a program changes.

    from saywhere.segment_anything import SamAutomaticMaskGenerator, SamPredictor, sam_model_registry

See docs/segment-anything.md.
"""

from saywhere.segment_anything.automatic_mask_generator import SamAutomaticMaskGenerator
from saywhere.segment_anything.build_sam import build_sam, build_sam_vit_b, build_sam_vit_h, build_sam_vit_l
from saywhere.segment_anything.build_sam import sam_model_registry as sam_model_registry
from saywhere.segment_anything.model import Sam
from saywhere.segment_anything.predictor import SamPredictor

__all__ = [
    "Sam",
    "SamAutomaticMaskGenerator",
    "SamPredictor",
    "build_sam",
    "build_sam_vit_b",
    "build_sam_vit_h",
    "build_sam_vit_l",
    "sam_model_registry",
]
