"""What the network gets of a prompt, whose phrase may conflict with its clicks or have none."""

from __future__ import annotations

from dataclasses import replace

from saywhere.core.prompt import Click, Prompt
from saywhere.core.relevance import relevance_at
from saywhere.errors import NoMapError
from saywhere.interactive.decoding import DecoderInput, MaskDecoder
from saywhere.interactive.phrase_click import knows, phrase_click


def decoder_input(decoder: MaskDecoder, prompt: Prompt, click: Click | None = None) -> DecoderInput:
    """What the decoder gets of a prompt; for ``click`` see :func:`effective_prompt`."""
    effective = effective_prompt(decoder, prompt, click)
    # What a phrase alone means may be in several places, so all components stay.
    min_share = decoder.settings.unclicked_components if any(c.positive for c in prompt.clicks) else 0.0
    return DecoderInput(effective, min_share=min_share)


def effective_prompt(decoder: MaskDecoder, prompt: Prompt, click: Click | None = None) -> Prompt:
    """The prompt that the network gets.

    A phrase that conflicts with the clicks is dropped. A phrase without a positive click and without a box gets a
    click where it applies best, because the network then finds one object instead of a little of all.

    Args:
        decoder: of the image.
        prompt: the user's.
        click: where the phrase applies best, in pixels of the image; None: it is computed where it is needed.
    """
    if prompt.phrase is None or prompt.box is not None or any(c.positive for c in prompt.clicks):
        return drop_conflicting_phrase(decoder, prompt)
    if click is None:
        try:
            where, _ = phrase_click(decoder.encoded, prompt.phrase)
        except NoMapError:
            return prompt
        click = decoder.encoded.full_crop.click_to_image(where)
    if decoder.runtime.capabilities.salient and not knows(decoder.encoded, prompt.phrase):
        prompt = prompt.with_phrase(None)
    return replace(prompt, clicks=(*prompt.clicks, click))


def drop_conflicting_phrase(decoder: MaskDecoder, prompt: Prompt) -> Prompt:
    """A prompt without its phrase if that is unknown or not relevant to what was clicked."""
    encoded = decoder.encoded
    if prompt.phrase is not None and not knows(encoded, prompt.phrase):
        return prompt.with_phrase(None)
    least, clicked = decoder.settings.phrase_relevance_threshold, [c for c in prompt.clicks if c.positive]
    if prompt.phrase is None or not clicked or not (least and decoder.runtime.capabilities.calibrated_relevance):
        return prompt
    relevance = encoded.relevance(prompt.phrase)
    clicks = encoded.full_crop.to_crop(Prompt(tuple(clicked))).clicks
    return prompt if max(relevance_at(relevance, c) for c in clicks) >= least else prompt.with_phrase(None)
