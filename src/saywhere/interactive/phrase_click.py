"""Where a phrase alone clicks."""

from __future__ import annotations

from saywhere.core.prompt import Click
from saywhere.core.relevance import relevance_peak
from saywhere.interactive.encoded_image import EncodedImage

NOT_SALIENT = 0.5  # what relevance weighs where nothing stands out: what is named is mostly, not always, salient


def knows(encoded: EncodedImage, phrase: str) -> bool:
    """Whether the network can be expected to know a phrase; True where the weights do not say what they know."""
    vocabulary = encoded.runtime.capabilities.vocabulary
    return vocabulary is None or vocabulary.knows(phrase)


def phrase_click(encoded: EncodedImage, phrase: str) -> tuple[Click, float]:
    """Where an object is that a phrase alone names.

    Args:
        encoded: the image.
        phrase: a checked phrase.

    Returns:
        A click in pixels of the full crop, and how sure it is that the object is there, in [0, 1]. The click is where
        the phrase is relevant and something stands out; of an unknown phrase only where something stands out; of
        weights that cannot tell what stands out, where the phrase is most relevant.

    Raises:
        NoMapError: the network has no relevance map.
    """
    relevance = encoded.relevance(phrase)
    click, peak = relevance_peak(relevance)
    if not encoded.runtime.capabilities.salient:
        return click, peak
    if not knows(encoded, phrase):
        return relevance_peak(encoded.saliency)
    return relevance_peak(relevance * (NOT_SALIENT + (1.0 - NOT_SALIENT) * encoded.saliency))[0], peak
