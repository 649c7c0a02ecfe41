"""What a person gave in Label Studio, as a prompt: key points, a rectangle, a text."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from integrations.label_studio.config import Control, LabelConfig
from saywhere.core.geometry import Box, ImageSize
from saywhere.core.numbers import describe, finite_number
from saywhere.core.prompt import Click
from saywhere.errors import SaywhereError

KINDS = "key points, a rectangle or a text"


@dataclass(frozen=True)
class GivenPrompt:
    """What is asked for.

    Attributes:
        clicks: in order.
        box: the last rectangle; x0, y0, x1, y1 in pixels.
        phrase: the last text.
        label: the value of the label that was chosen last, None where only a text was given.
    """

    clicks: tuple[Click, ...] = ()
    box: Box | None = None
    phrase: str | None = None
    label: str | None = None


def read_prompt(results: Any, config: LabelConfig, size: ImageSize) -> GivenPrompt:
    """Read ``context.result`` of a request to ``/predict``.

    Args:
        results: the regions and texts that Label Studio sends.
        config: of the project.
        size: the image's.

    Raises:
        SaywhereError: something lacks or has wrong numbers, or there is nothing that can be a prompt.
    """
    clicks: list[Click] = []
    box: Box | None = None
    phrase = label = None
    kinds = set()
    for result in results if isinstance(results, list) else []:
        kind, value = (result.get("type"), result.get("value")) if isinstance(result, dict) else (None, None)
        kinds.add(describe(kind))
        if not isinstance(value, dict):
            continue
        if kind in ("keypointlabels", "keypoint"):
            clicks.append(_click(value, bool(result.get("is_positive", True)), size))
        elif kind in ("rectanglelabels", "rectangle"):
            box = _box(value, size)
        elif kind == "textarea":
            phrase = _text(value)
            continue
        else:
            continue
        given = value.get(kind)
        if isinstance(given, list) and given and isinstance(given[0], str):
            label = config.value_of(str(result.get("from_name")), given[0])
    if not clicks and box is None and phrase is None:
        raise SaywhereError(f"context: {', '.join(sorted(kinds)) or 'nothing'} in its result; give {KINDS}")
    return GivenPrompt(tuple(clicks), box, phrase, label)


def choose_label(given: GivenPrompt, output: Control) -> str:
    """The text that a result for this prompt holds as its label.

    Without a chosen label it is the one that the phrase names, or else the only one.

    Raises:
        SaywhereError: the control has no such label, or several of which none was chosen.
    """
    label = given.label
    if label is None and given.phrase is not None:
        words = given.phrase.lower().split()
        named = [each for each in output.labels.values() if each.lower().split() == words]
        label = named[0] if named else None
    if label is None and len(output.labels) == 1:
        return next(iter(output.labels))
    stored = None if label is None else output.stored(label)
    if stored is None:
        labels = ", ".join(map(repr, output.labels.values())) or "none"
        what = "no label is chosen" if label is None else f"label {label!r}"
        raise SaywhereError(f"{what}: {output.tag} '{output.name}' has {labels}; choose one of these, or add it there")
    return stored


def _numbers(value: dict[str, Any], *keys: str) -> list[float]:
    numbers = [finite_number(value.get(key)) for key in keys]
    if None in numbers:
        given = ", ".join(f"{key}={describe(value.get(key))}" for key in keys)
        raise SaywhereError(f"context: {given}; expected numbers, in percent of the image")
    return [float(number) for number in numbers if number is not None]


def _click(value: dict[str, Any], positive: bool, size: ImageSize) -> Click:
    """Label Studio's first pixel reaches from 0 to 1, ours from -0.5 to 0.5."""
    x, y = _numbers(value, "x", "y")
    return Click(x * size.width / 100.0 - 0.5, y * size.height / 100.0 - 0.5, positive)


def _box(value: dict[str, Any], size: ImageSize) -> Box:
    """A rectangle, or the box around one that is rotated about its first corner, in degrees."""
    x, y, width, height = _numbers(value, "x", "y", "width", "height")
    angle = math.radians(finite_number(value.get("rotation") or 0) or 0.0)
    left, top = x * size.width / 100.0, y * size.height / 100.0
    w, h = width * size.width / 100.0, height * size.height / 100.0
    across, down = (math.cos(angle), math.sin(angle)), (-math.sin(angle), math.cos(angle))
    xs = [left + i * w * across[0] + j * h * down[0] for i in (0, 1) for j in (0, 1)]
    ys = [top + i * w * across[1] + j * h * down[1] for i in (0, 1) for j in (0, 1)]
    return min(xs), min(ys), max(xs), max(ys)


def _text(value: dict[str, Any]) -> str | None:
    given = value.get("text")
    texts = [each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str) and each.strip()]
    return " ".join(texts[-1].split()) if texts else None
