"""What a label has learned, on disk: one small file, whole or not at all, and the one before it. No torch."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from saywhere.errors import SaywhereError
from saywhere.interactive.sequence.memory import LearnedState, Memory, StoredExample
from saywhere.interactive.sequence.proposal import BankedClick, ProposalOutcome
from saywhere.storage.atomic import write_atomically

FORMAT = "saywhere-sequence-2"
PREVIOUS = ".previous"


def state_path(folder: Path, label: str) -> Path:
    """The file of a label: readable, and its own even where labels differ in what a file name cannot hold."""
    readable = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40]
    return folder / f"{readable}-{hashlib.sha256(label.encode()).hexdigest()[:8]}.safetensors"


def previous_path(path: Path) -> Path:
    """Where the state before the last one is."""
    return path.with_suffix(PREVIOUS)


def claim(path: Path) -> FileLock:
    """The sole right to change a label's file, until it is released or the process ends in whatever way.

    Raises SaywhereError when another process has it, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SaywhereError(
            f"'{path}': another process has this label open; it goes on learning, this one not"
        ) from error
    except OSError as error:
        raise SaywhereError(
            f"'{path.parent}': cannot be written ({error.strerror or error}); nothing is learned"
        ) from error
    return lock


def save_state(path: Path, memory: Memory, learned: LearnedState, facts: dict[str, Any]) -> None:
    """Write atomically; the file that was there stays beside it as the previous one.

    ``facts`` say which weights and label the state belongs to. Raises SaywhereError when the disk refuses: then the
    files are as they were.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for name in ("parameters", "good"):
        tensors |= {f"{name}.{key}": value for key, value in getattr(learned, name).items()}
    if memory.clicks:
        for level, vectors in enumerate(zip(*(click.vectors for click in memory.clicks), strict=True)):
            tensors[f"clicks.{level}"] = np.stack(vectors)
    for example in memory.examples:
        for i, (picture, mask) in enumerate(example.pictures):
            tensors[f"lesson.{example.number}.{i}.picture"] = np.frombuffer(picture, np.uint8)
            tensors[f"lesson.{example.number}.{i}.mask"] = np.frombuffer(mask, np.uint8)
    metadata = {
        **facts,
        "format": FORMAT,
        "numbers": memory.numbers,
        "given": memory.given,
        "clicks": [click.number for click in memory.clicks],
        "outcomes": [(o.number, o.confidence, o.right) for o in memory.outcomes],
        "lessons": [(one.number, one.is_validation, len(one.pictures)) for one in memory.examples],
        "rounds": learned.rounds,
        "back": learned.back,
    }
    content = save(tensors, {key: json.dumps(value) for key, value in metadata.items()})
    if path.exists():
        write_atomically(previous_path(path), path.read_bytes())
    write_atomically(path, content)


def load_state(path: Path, facts: dict[str, Any]) -> tuple[Memory, LearnedState] | None:
    """What a label's file holds; None when there is none.

    Raises SaywhereError when it is damaged, or of other weights or another label than ``facts`` say.
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
        told = {key: json.loads(text) for key, text in json.loads(content[8 : 8 + length])["__metadata__"].items()}
        if told.get("format") != FORMAT:
            raise SaywhereError(f"'{path}': not a sequence's state (format {told.get('format')}, not {FORMAT})")
        for name, value in facts.items():
            if told.get(name) != value:
                raise SaywhereError(f"'{path}': belongs to {name} {_short(told.get(name))}, not {_short(value)}")
        levels = [tensors[name] for name in sorted(name for name in tensors if name.startswith("clicks."))]
        memory = Memory(
            tuple(told["numbers"]),
            told["given"],
            tuple(BankedClick(n, tuple(level[i] for level in levels)) for i, n in enumerate(told["clicks"])),
            tuple(ProposalOutcome(*entry) for entry in told["outcomes"]),
            tuple(
                StoredExample(n, is_validation, _pictures(tensors, n, count))
                for n, is_validation, count in told["lessons"]
            ),
        )
        learned = LearnedState(_part(tensors, "parameters."), _part(tensors, "good."), told["rounds"], told["back"])
    except (SafetensorError, KeyError, IndexError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise SaywhereError(f"'{path}': damaged or cut short ({error})") from error
    except ValueError as error:
        if isinstance(error, SaywhereError):
            raise
        raise SaywhereError(f"'{path}': damaged or cut short ({error})") from error
    return memory, learned


def _short(value: Any) -> str:
    return f"{str(value)[:12]}…" if len(str(value)) > 40 else repr(value)


def _part(tensors: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[np.float32]]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _pictures(tensors: dict[str, NDArray[Any]], number: int, count: int) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(
        (tensors[f"lesson.{number}.{i}.picture"].tobytes(), tensors[f"lesson.{number}.{i}.mask"].tobytes())
        for i in range(count)
    )
