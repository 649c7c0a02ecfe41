"""How a Segmenter crops, decodes and post-processes."""

from __future__ import annotations

from dataclasses import dataclass, fields

from saywhere.core.deprecation import renamed_fields
from saywhere.core.numbers import describe, whole_number
from saywhere.errors import SaywhereError

CANDIDATE_CHOICES = ("every", "first")
SIZE, ZOOM_SIZE = 320, 384  # of networks that were trained at several sizes, and of those that do not say
LATER_ZOOM_SIZE = 512  # of the same networks
PREVIOUS_MASK_FROM = 5
MIN_SIZE, MAX_SIZE = 32, 4096  # below it a network's coarsest level has no cell; above it memory does not suffice


@renamed_fields(
    looks="max_zoom_steps",
    previous_from="previous_mask_from",
    phrase_fit="phrase_relevance_threshold",
    strays="unclicked_components",
)
@dataclass(frozen=True)
class Settings:
    """How a Segmenter crops, decodes and post-processes. The benchmark prints every field.

    Five fields depend on the network where they are None; a Segmenter has their values in its ``settings``
    (:class:`ResolvedSettings`).

    Attributes:
        size: longer side, in pixels, at which the whole image is encoded; None: the size at which the network was
            trained, or 320 where it learned several sizes or its weights do not say.
        zoom: whether the network also sees a crop around the object; None: whether it was trained with such crops.
        zoom_size: longer side, in pixels, at which the crop is encoded; None: the size at which the network was
            trained, or 384.
        later_zoom_size: the same once the network sees the previous mask: later clicks correct details. None: 512, or
            ``zoom_size`` where that is given or is the size at which the network was trained.
        zoom_margin: side of the crop over side of the object.
        max_zoom_steps: how often one interaction may move the crop when the object is smaller or larger than the
            crop before showed.
        threshold: probability from which a pixel belongs to the mask.
        enlarge: whether an image smaller than ``size`` is enlarged to it.
        previous_mask_from: the first interaction whose decoding sees the previous mask; None: as the network is best
            used, or 5 where it does not say. Before it, a click changes a wrong mask more.
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

    size: int | None = None
    zoom: bool | None = None
    zoom_size: int | None = None
    later_zoom_size: int | None = None
    zoom_margin: float = 1.7
    max_zoom_steps: int = 2
    threshold: float = 0.5
    enlarge: bool = True
    previous_mask_from: int | None = None
    refine: str | None = None
    phrase_relevance_threshold: float = 0.6
    drag_margin: float = 3.5
    unclicked_components: float = 0.5
    flip: bool = False
    keep_clicked: bool = True
    candidate_choice: str = "every"

    def resolve(
        self, trained_size: int | None = None, trained_with_zoom: bool = True, previous_mask_from: int | None = None
    ) -> ResolvedSettings:
        """The settings with a value for what is left to the network; what is set stays as it is.

        Args:
            trained_size: side of the crops that the network was trained with, in pixels; None: it learned several
                sizes, or its weights do not say.
            trained_with_zoom: whether some of these crops showed an object and what is near it only.
            previous_mask_from: the first interaction at which the network is to see the previous mask; None: it does
                not say.

        Raises:
            SaywhereError: a size is not a whole number of pixels that a network can take.

        Example:
            >>> Settings().resolve().size, Settings().resolve(192).size, Settings(size=256).resolve(192).size
            (320, 192, 256)
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        defaults = {
            "size": SIZE if trained_size is None else trained_size,
            "zoom": trained_with_zoom,
            "zoom_size": ZOOM_SIZE if trained_size is None else trained_size,
            "later_zoom_size": LATER_ZOOM_SIZE if trained_size is None else trained_size,
            "previous_mask_from": PREVIOUS_MASK_FROM if previous_mask_from is None else previous_mask_from,
        }
        if self.zoom_size is not None:
            defaults["later_zoom_size"] = self.zoom_size
        values |= {name: default for name, default in defaults.items() if values[name] is None}
        for name in ("size", "zoom_size", "later_zoom_size"):
            size = whole_number(values[name])
            if size is None or not MIN_SIZE <= size <= MAX_SIZE:
                raise SaywhereError(
                    f"{name} {describe(values[name])}: networks take whole numbers of pixels, of type int, from "
                    f"{MIN_SIZE} to {MAX_SIZE}; give one of them, or leave it out for the size at which the network "
                    "was trained"
                )
            values[name] = size
        return ResolvedSettings(**values)


@dataclass(frozen=True)
class ResolvedSettings(Settings):
    """Settings of which nothing is left to the network; see :meth:`Settings.resolve`."""

    size: int = SIZE
    zoom: bool = True
    zoom_size: int = ZOOM_SIZE
    later_zoom_size: int = LATER_ZOOM_SIZE
    previous_mask_from: int = PREVIOUS_MASK_FROM
