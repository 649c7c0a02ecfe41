"""A network of RITM's family from its checkpoint, built by the code of the user's own checkout."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from saywhere.errors import SaywhereError

PACKAGE = "isegm"  # of RITM, ClickSEG (FocalClick) and SimpleClick alike
RITM_BACKBONES = ("hrnet", "deeplab")  # in class names; SimpleClick's loader is to be told of these networks
_importing = threading.Lock()


@contextmanager
def imported_from(checkout: Path) -> Iterator[None]:
    """Import the package of a checkout; afterwards another checkout's package of the same name can be imported."""
    with _importing:
        before = _take_modules()
        sys.path.insert(0, str(checkout))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(checkout))
            _take_modules()
            sys.modules.update(before)


def _take_modules() -> dict[str, Any]:
    names = [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
    return {name: sys.modules.pop(name) for name in names}


def load_network(checkpoint: Path, checkout: Path) -> torch.nn.Module:
    """Build a network and load its weights. Nothing but tensors and plain values is unpickled.

    Args:
        checkpoint: ``.pth`` with the keys ``config`` and ``state_dict``.
        checkout: folder of a clone that contains the package ``isegm``.

    Returns:
        The network in evaluation mode.

    Raises:
        SaywhereError: a file or a package is missing, or the checkpoint is not of such a network.
    """
    if not (checkout / PACKAGE / "utils" / "serialization.py").is_file():
        what = f"no {PACKAGE}/utils/serialization.py in it" if checkout.is_dir() else "no such folder"
        raise SaywhereError(
            f"checkout '{checkout}': {what}; give the folder of a clone of RITM, ClickSEG or SimpleClick"
        )
    config, state = read_checkpoint(checkpoint)
    with imported_from(checkout):
        try:
            load_model = importlib.import_module(f"{PACKAGE}.utils.serialization").load_model
            options = {}
            if "eval_ritm" in inspect.signature(load_model).parameters:
                options["eval_ritm"] = any(name in config["class"].lower() for name in RITM_BACKBONES)
            model: torch.nn.Module = load_model(config, **options)
        except ModuleNotFoundError as error:
            raise SaywhereError(
                f"checkout '{checkout}': network {config['class']} needs the module {error.name}, which is missing; "
                "install it as its README says, or give the checkout that the checkpoint was made with"
            ) from error
        except Exception as error:  # whatever their code raises
            raise SaywhereError(
                f"checkout '{checkout}': its code cannot build network {config['class']} ({reason(error)}); give the "
                "checkout that the checkpoint was made with"
            ) from error
    try:
        missing, unexpected = model.load_state_dict(state, strict=False)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise SaywhereError(f"checkpoint '{checkpoint}': does not fit {config['class']} ({reason(error)})") from error
    if missing and unexpected:  # the projects' own loaders take one or the other
        raise SaywhereError(
            f"checkpoint '{checkpoint}': of another network than {config['class']} of '{checkout}': it has "
            f"{unexpected[0]} and lacks {missing[0]}"
        )
    return model.requires_grad_(False).eval()


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Configuration and weights of a checkpoint.

    Args:
        path: of the file.

    Raises:
        SaywhereError: there is none, or it is not such a checkpoint.
    """
    expected = "a checkpoint of RITM, FocalClick or SimpleClick, with config and state_dict, is expected"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise SaywhereError(f"checkpoint '{path}': {error.strerror or error}; {expected}") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise SaywhereError(f"checkpoint '{path}': cannot be read ({reason(error)}); {expected}") from error
    if isinstance(content, list) and content:
        raise SaywhereError(f"checkpoint '{path}': {len(content)} networks, one for each click; {expected}")
    config = content.get("config") if isinstance(content, dict) else None
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(config, dict) or not isinstance(config.get("class"), str) or not isinstance(state, dict):
        found = ", ".join(map(str, list(content)[:3])) if isinstance(content, dict) else type(content).__name__
        raise SaywhereError(f"checkpoint '{path}': found {found}; {expected}")
    return config, state


def digest_of(checkpoint: Path, checkout: Path) -> str:
    """SHA-256 of a checkpoint and of the code that builds its network."""
    total = hashlib.sha256()
    for path in (checkpoint, *sorted((checkout / PACKAGE / "model").rglob("*.py"))):
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def reason(error: Exception) -> str:
    """What an exception says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
