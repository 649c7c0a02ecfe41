"""How much memory objects take: the arrays that are reached from them, each counted once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np


def array_bytes(root: Any, shared: tuple[type, ...] = ()) -> int:
    """The bytes of all arrays that an object holds, in its fields, lists and mappings.

    Args:
        root: the object.
        shared: types whose instances are not looked into, because others hold them too.

    Example:
        >>> pixels = np.zeros((2, 3), np.uint8)
        >>> array_bytes({"image": pixels, "part": pixels[:1], "other": [np.zeros(4, np.float32)]})
        22
    """
    seen: set[int] = set()
    waiting, total = deque([root]), 0
    while waiting:
        one = waiting.popleft()
        if id(one) in seen or isinstance(one, (*shared, str, bytes, int, float, type(None), type)):
            continue
        seen.add(id(one))
        if isinstance(one, np.ndarray):
            if isinstance(one.base, np.ndarray):
                waiting.append(one.base)
            else:
                total += one.nbytes
        elif isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, (list, tuple, set, deque)):
            waiting.extend(one)
        elif isinstance(getattr(one, "nbytes", None), int):  # another library's tensor
            total += one.nbytes
        else:
            waiting.extend(_attributes(one))
    return total


def _attributes(one: Any) -> Iterable[Any]:
    """What an object of ours holds. Networks are shared; attributes of other libraries' objects may be anything."""
    is_network = hasattr(one, "encode") and hasattr(one, "decode")
    if is_network or not type(one).__module__.startswith("saywhere"):
        return ()
    values = list(getattr(one, "__dict__", {}).values())
    if is_dataclass(one):
        values += [getattr(one, each.name) for each in fields(one) if hasattr(one, each.name)]
    return values
