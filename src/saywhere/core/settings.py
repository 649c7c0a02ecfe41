"""How a Segmenter crops, decodes and post-processes."""

from __future__ import annotations

from dataclasses import dataclass

from saywhere.core.deprecation import renamed_fields

CANDIDATE_CHOICES = ("every", "first")


@renamed_fields(
    looks="max_zoom_steps",
    previous_from="previous_mask_from",
    phrase_fit="phrase_relevance_threshold",
    strays="unclicked_components",
)
@dataclass(frozen=True)
class Settings:
    """How a Segmenter crops, decodes and post-processes. The benchmark prints every field.

    Attributes:
        size: longer side, in pixels, at which the whole image is encoded.
        zoom: whether the network also sees a crop around the object.
        zoom_size: longer side, in pixels, at which the crop is encoded.
        zoom_margin: side of the crop over side of the object.
        max_zoom_steps: how often one interaction may move the crop when the object is smaller or larger than the
            crop before showed.
        threshold: probability from which a pixel belongs to the mask.
        enlarge: whether an image smaller than ``size`` is enlarged to it.
        previous_mask_from: the first interaction whose decoding sees the previous mask. Before it, a click changes a
            wrong mask more.
        refine: name of a refinement of the mask ("graph-cut"), or None. The network never sees its result.
        phrase_relevance_threshold: least relevance around a positive click for a phrase to be used, with networks
            whose relevance maps are calibrated; 0 uses every phrase.
        drag_margin: the first crop of a drag reaches this many times its radius to each side; 0 starts with the whole
            image, as a click does.
        unclicked_components: connected components without a positive click are removed from a mask: all of them after
            one positive click; after several, those smaller than this share of the largest clicked component. 0 keeps
            all.
        flip: whether logits are averaged with those of the mirrored crop, which takes twice the time.
        keep_clicked: whether a further positive click only adds to the mask, and never takes away what it had.
        candidate_choice: which of several candidate masks the predicted IoU chooses while one interaction moves the
            crop: "every" chooses in every crop; "first" keeps to the network's output that it chose in the first.
    """

    size: int = 320
    zoom: bool = True
    zoom_size: int = 384
    zoom_margin: float = 1.7
    max_zoom_steps: int = 2
    threshold: float = 0.5
    enlarge: bool = True
    previous_mask_from: int = 5
    refine: str | None = None
    phrase_relevance_threshold: float = 0.6
    drag_margin: float = 3.5
    unclicked_components: float = 0.5
    flip: bool = False
    keep_clicked: bool = True
    candidate_choice: str = "every"
