"""Methods by name: weights, a classical method, or a runtime of one's own."""

from __future__ import annotations

import importlib
import platform
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from saywhere.core.settings import ResolvedSettings, Settings
from saywhere.errors import SaywhereError
from saywhere.runtime.base import Runtime
from saywhere.runtime.external.names import is_external, load_external
from saywhere.runtime.metadata import resolve_settings, run_metadata
from saywhere.runtime.weights import is_name, known_names, load_runtime, suggestion


def load_by_name(name: str | Path | None = None, device: str | None = None) -> Runtime:
    """A network by its name.

    Args:
        name: weights (:func:`saywhere.runtime.weights.find_weights`), or a model of another project
            (:func:`saywhere.runtime.external.names.load_external`).
        device: see :func:`saywhere.runtime.weights.load_runtime`.

    Raises:
        SaywhereError: it cannot be had, or nothing that is installed runs it.
    """
    if name is not None and is_external(str(name)):
        return load_external(str(name), device)
    return load_runtime(name, device)


def find_method(name: str | None, settings: Settings) -> tuple[Runtime, ResolvedSettings]:
    """The runtime behind a name, and the settings that it is measured with.

    Args:
        name: None or weights (see :func:`saywhere.runtime.weights.find_weights`, among them those of the published
            networks by name), a classical method, a model of another project
            (:func:`saywhere.runtime.external.names.load_external`), or ``module:factory``, a function that returns a
            :class:`saywhere.runtime.base.Runtime`.
        settings: what the user chose.

    Returns:
        The runtime and its settings, with the network's own values where the user chose none
        (:func:`saywhere.runtime.metadata.resolve_settings`). A classical method never zooms in: it has no features to
        cache, and its mask has the resolution of its image.

    Raises:
        SaywhereError: no such method, or it cannot be loaded.
    """
    if name is not None and ":" in name and not is_external(name):
        runtime = own_method(name)
        return runtime, resolve_settings(runtime, settings)
    if name is not None and name in classical_names():
        from saywhere.runtime.classical import CLASSICAL, SETTINGS

        return CLASSICAL[name](), replace(SETTINGS, threshold=settings.threshold).resolve()
    if name is not None and name not in known_names() and is_name(name) and not is_external(name):
        names = (*known_names(), *classical_names())
        raise SaywhereError(f"model '{name}': no such name or file; {suggestion(name, names)}; or give module:factory")
    runtime = load_by_name(name)
    return runtime, resolve_settings(runtime, settings)


def verify_method(
    name: str | None, settings: Settings, threads: int, expected: Mapping[str, Any]
) -> tuple[Runtime, ResolvedSettings]:
    """Load a method by its name in another process or on another machine.

    Args:
        name, settings: as for :func:`find_method`.
        threads: processor threads.
        expected: the run metadata of the method where the job was started.

    Raises:
        SaywhereError: this is another method: other weights under the same name, another device.
    """
    runtime, used = find_method(name, settings)
    actual = run_metadata(runtime, used, threads)
    differing = [f"{key} is {actual[key]}, not {value}" for key, value in expected.items() if actual[key] != value]
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
    """Call ``module:factory``.

    Returns:
        The runtime that it makes.

    Raises:
        SaywhereError: it cannot be imported, or makes something else.
    """
    module, _, factory = name.partition(":")
    try:
        runtime: Runtime = getattr(importlib.import_module(module), factory)()
    except (ImportError, AttributeError) as error:
        raise SaywhereError(
            f"method '{name}': {error}; give module:factory of something that can be imported"
        ) from error
    missing = [part for part in ("name", "digest", "capabilities", "encode", "decode") if not hasattr(runtime, part)]
    if missing:
        raise SaywhereError(
            f"method '{name}': what it makes lacks {', '.join(missing)}; see saywhere.runtime.base.Runtime"
        )
    return runtime
