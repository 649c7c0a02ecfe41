"""What can be measured, by name: weights, a classical method, or a runtime of one's own."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.runtime.base import Runtime
from saywhere.runtime.metadata import run_metadata
from saywhere.runtime.weights import load_runtime


def find_method(name: str | None, settings: Settings) -> tuple[Runtime, Settings]:
    """The runtime behind a name, and the settings that it is measured with.

    ``name`` is None or weights (see :func:`saywhere.runtime.weights.find_weights`), a classical method, or
    ``module:factory``, a function that returns a :class:`saywhere.runtime.base.Runtime`. A classical method never looks
    closer: it has no features to keep, and its answer is as sharp as its picture.
    """
    if name is not None and ":" in name:
        return own_method(name), settings
    if name is not None and name in classical_names():
        from saywhere.runtime.classical import CLASSICAL, SETTINGS

        return CLASSICAL[name](), replace(SETTINGS, threshold=settings.threshold)
    return load_runtime(name), settings


def verify_method(
    name: str | None, settings: Settings, threads: int, traits: Mapping[str, Any]
) -> tuple[Runtime, Settings]:
    """A method by its name in another process or on another machine.

    Raises SaywhereError when it is not the one with these ``traits``: other weights under the same name, another
    device.
    """
    runtime, used = find_method(name, settings)
    found = run_metadata(runtime, used, threads)
    differing = [f"{trait} is {found[trait]}, not {value}" for trait, value in traits.items() if found[trait] != value]
    if differing:
        raise SaywhereError(
            f"worker on {platform.node()}: {'; '.join(differing)}; all machines need the same files and devices"
        )
    return runtime, used


def classical_names() -> tuple[str, ...]:
    """Names of the classical methods; none when their libraries are not installed."""
    try:
        from saywhere.runtime.classical import CLASSICAL
    except ImportError:
        return ()
    return tuple(CLASSICAL)


def own_method(name: str) -> Runtime:
    """The runtime that ``module:factory`` makes; SaywhereError when there is none."""
    module, _, factory = name.partition(":")
    try:
        made = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError) as error:
        raise SaywhereError(
            f"method '{name}': {error}; give module:factory of something that can be imported"
        ) from error
    lacking = [part for part in ("name", "digest", "capabilities", "encode", "decode") if not hasattr(made, part)]
    if lacking:
        raise SaywhereError(
            f"method '{name}': what it makes lacks {', '.join(lacking)}; see saywhere.runtime.base.Runtime"
        )
    runtime: Runtime = made
    return runtime
