"""How a Segmenter crops, decodes and post-processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How a Segmenter looks. All of it is printed by the benchmark.

    ``size`` and ``zoom_size`` are the longer side, in pixels, at which the whole photograph and the zoomed
    view are encoded; ``zoom_margin`` is the view's side over the object's; ``looks`` is how often one answer may
    move the view, when the object turns out smaller or larger than it looked; ``threshold`` cuts the probability;
    ``enlarge`` says whether a photograph smaller than ``size`` is enlarged to it. The network is shown the previous
    mask from interaction number ``previous_from`` on: before that a click does more against a mask that was wrong.
    A first drag says how large the object is, so the first look reaches ``drag_margin`` times its radius to each side;
    0 begins with the whole photograph, as a click does.
    A phrase counts only where its map reaches ``phrase_fit`` around a positive click, if the network has a map that can
    tell; 0 takes every phrase at its word.
    Pieces of an answer that no positive click is on are dropped: all of them after one such click, after several those
    smaller than ``strays`` times the largest clicked piece; 0 keeps every piece.
    ``flip`` asks about the mirrored view too, and answers with the mean of both logits: it costs twice the time.
    ``refine`` names what makes the answer's mask better afterwards ("graph-cut"); the network never sees that.
    """

    size: int = 320
    zoom: bool = True
    zoom_size: int = 320
    zoom_margin: float = 1.7
    looks: int = 2
    threshold: float = 0.5
    enlarge: bool = True
    previous_from: int = 5
    refine: str | None = None
    phrase_fit: float = 0.6
    drag_margin: float = 3.5
    strays: float = 0.5
    flip: bool = False
