"""Damage to bytes and to JSON values."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np

HOSTILE_VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**63, -(2**63), 10**30, 1e308, -1e308, 0.5, float("nan"), float("inf"), "", "x" * 300,
    "..", "../a.png", "/etc/passwd", "a\x00b", "\ud800", "‮ﷺ", "[/b]", [], {}, [[]], [[1]], [1, 2, 3],
    {"counts": [], "size": []}, {"counts": "", "size": [0, 0]}, {"counts": [5], "size": [2, 2]},
    [[0, 0, 9e9, 0, 9e9, 9e9]],
)  # fmt: skip
DEEP = "deep nesting"  # stands for lists in lists
MAGIC = (
    b"\x00",
    b"\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"II*\x00",
    b"MM\x00*",
    b"%!PS-Adobe",
)


def damaged_bytes(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with one to six damages: changed, cut, doubled, removed or replaced pieces.

    Args:
        content: the bytes of a whole file.
        rng: decides.
    """
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 7))):
        if not data:
            break
        # Half of the damage falls near the beginning, where headers are.
        end = len(data) if rng.random() < 0.5 else min(len(data), 128)
        at = int(rng.integers(0, end))
        match int(rng.integers(0, 6)):
            case 0:
                data[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                magic = MAGIC[int(rng.integers(0, len(MAGIC)))]
                data[at : at + len(magic)] = magic
            case 2:
                del data[at:]
            case 3:
                del data[at : at + int(rng.integers(1, 64))]
            case 4:
                data[at:at] = data[at : at + int(rng.integers(1, 256))]
            case _:
                piece = rng.integers(0, 256, int(rng.integers(1, 32)), dtype=np.uint8).tobytes()
                data[at : at + len(piece)] = piece
    return bytes(data)


def damaged_json(value: Any, rng: np.random.Generator) -> Any:
    """A JSON value with one to four places replaced, removed, doubled or nested."""
    value = copy.deepcopy(value)
    for _ in range(int(rng.integers(1, 5))):
        places = list(_places(value))
        if not places:
            return HOSTILE_VALUES[int(rng.integers(0, len(HOSTILE_VALUES)))]
        holder, key = places[int(rng.integers(0, len(places)))]
        match int(rng.integers(0, 6)):
            case 0 | 1 | 2:
                holder[key] = copy.deepcopy(HOSTILE_VALUES[int(rng.integers(0, len(HOSTILE_VALUES)))])
            case 3:
                del holder[key]
            case 4:
                other, other_key = places[int(rng.integers(0, len(places)))]
                holder[key] = copy.deepcopy(other[other_key]) if _has(other, other_key) else None
            case _:
                holder[key] = DEEP
    return value


def json_text(value: Any) -> bytes:
    """JSON text; :data:`DEEP` becomes lists in lists, deeper than parsers follow."""
    text = json.dumps(value).encode("utf-8", "surrogatepass")
    return text.replace(json.dumps(DEEP).encode(), b"[" * 20_000 + b"]" * 20_000)


def _places(value: Any) -> Any:
    """Every ``(holder, key)`` in a JSON value, down to a depth of 20."""
    pending = [(value, 0)]
    while pending:
        holder, depth = pending.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            if depth < 20:
                pending.append((holder[key], depth + 1))


def _has(holder: Any, key: Any) -> bool:
    return key in holder if isinstance(holder, dict) else isinstance(key, int) and key < len(holder)
