"""State files of sequences: one small file for each label, written atomically, and its previous version. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError
from saywhere.interactive.sequence.memory import LearnedState, Memory, StoredExample
from saywhere.interactive.sequence.proposal import BankedClick, ProposalOutcome

FORMAT = "saywhere-sequence-2"  # value of "format" in the metadata
PREVIOUS_SUFFIX = ".previous"


def state_path(folder: Path, label: str) -> Path:
    """The state file of a label.

    Its name consists of the letters and digits of the label, and a hash that differs for each label.

    Args:
        folder: where all state files are.
        label: any text.
    """
    readable = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40]
    return folder / f"{readable}-{hashlib.sha256(label.encode()).hexdigest()[:8]}.safetensors"


def previous_path(path: Path) -> Path:
    """Where the previous version of a state file is."""
    return path.with_suffix(PREVIOUS_SUFFIX)


def lock_state(path: Path) -> FileLock:
    """Lock a state file against other processes; the folder is created if need be.

    Args:
        path: the state file.

    Returns:
        The lock. It ends when it is released or when the process ends for whatever reason.

    Raises:
        SaywhereError: another process has locked it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SaywhereError(f"'{path}': another process has this label open; only that one learns") from error
    except OSError as error:
        raise SaywhereError(
            f"'{path.parent}': cannot be written ({error.strerror or error}); make it writable or choose another folder"
        ) from error
    return lock


def save_state(path: Path, memory: Memory, learned: LearnedState, identity: dict[str, Any]) -> None:
    """Write a state file atomically, and keep the file before as its previous version.

    Args:
        path: the state file.
        memory: what the sequence remembers.
        learned: the state of learning.
        identity: the weights and the label that the state belongs to; becomes part of the metadata.

    Raises:
        SaywhereError: the file cannot be written; it is not changed then.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for prefix, parameters in (("parameters", learned.parameters), ("good", learned.last_good)):
        tensors |= {f"{prefix}.{name}": value for name, value in parameters.items()}
    if memory.clicks:
        for level, vectors in enumerate(zip(*(click.vectors for click in memory.clicks), strict=True)):
            tensors[f"clicks.{level}"] = np.stack(vectors)
    for example in memory.examples:
        for i, (webp, png) in enumerate(example.crops):
            tensors[f"lesson.{example.number}.{i}.picture"] = np.frombuffer(webp, np.uint8)
            tensors[f"lesson.{example.number}.{i}.mask"] = np.frombuffer(png, np.uint8)
    metadata = {
        **identity,
        "format": FORMAT,
        "numbers": memory.numbers,
        "given": memory.accepted_count,
        "clicks": [click.number for click in memory.clicks],
        "outcomes": [(o.number, o.confidence, o.correct) for o in memory.outcomes],
        "lessons": [(e.number, e.is_validation, len(e.crops)) for e in memory.examples],
        "rounds": learned.rounds,
        "back": learned.rollbacks,
    }
    content = save(tensors, {key: json.dumps(value) for key, value in metadata.items()})
    if path.exists():
        write_atomically(previous_path(path), path.read_bytes())
    write_atomically(path, content)


def load_state(
    path: Path, identity: dict[str, Any], equal_weights: Sequence[str] = ()
) -> tuple[Memory, LearnedState] | None:
    """Read a state file.

    Args:
        path: the state file.
        identity: the weights and the label that it must belong to.
        equal_weights: digests of other files with the same values, which do as well.

    Returns:
        Its content; None when there is no such file.

    Raises:
        SaywhereError: it cannot be read, is damaged, or belongs to other weights or another label.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SaywhereError(f"'{path}': cannot be read ({error.strerror or error})") from error
    try:
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        texts = json.loads(content[8 : 8 + length])["__metadata__"]
        metadata = {key: json.loads(text) for key, text in texts.items()}
        if metadata.get("format") != FORMAT:
            raise SaywhereError(f"'{path}': not a sequence's state (format {metadata.get('format')}, not {FORMAT})")
        for key, value in identity.items():
            if metadata.get(key) != value and not (key == "weights" and metadata.get(key) in equal_weights):
                raise SaywhereError(f"'{path}': belongs to {key} {_shorten(metadata.get(key))}, not {_shorten(value)}")
        levels = [tensors[name] for name in sorted(name for name in tensors if name.startswith("clicks."))]
        memory = Memory(
            tuple(metadata["numbers"]),
            metadata["given"],
            tuple(BankedClick(n, tuple(level[i] for level in levels)) for i, n in enumerate(metadata["clicks"])),
            tuple(ProposalOutcome(*entry) for entry in metadata["outcomes"]),
            tuple(
                StoredExample(n, is_validation, _crops(tensors, n, count))
                for n, is_validation, count in metadata["lessons"]
            ),
        )
        learned = LearnedState(
            _tensors_under(tensors, "parameters."),
            _tensors_under(tensors, "good."),
            metadata["rounds"],
            metadata["back"],
        )
    except (SafetensorError, KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise SaywhereError(f"'{path}': damaged or cut short ({error})") from error
    except ValueError as error:
        if isinstance(error, SaywhereError):
            raise
        raise SaywhereError(f"'{path}': damaged or cut short ({error})") from error
    return memory, learned


def _shorten(value: Any) -> str:
    return f"{str(value)[:12]}…" if len(str(value)) > 40 else repr(value)


def _tensors_under(tensors: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[np.float32]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _crops(tensors: dict[str, NDArray[Any]], number: int, count: int) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (tensors[f"lesson.{number}.{i}.picture"].tobytes(), tensors[f"lesson.{number}.{i}.mask"].tobytes())
        for i in range(count)
    )
