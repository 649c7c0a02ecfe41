"""Arrays in one file that is mapped into memory: the parts that are not used take none.

The file is a safetensors file. One that is damaged is no error: what is kept here can be computed again.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from safetensors.numpy import save

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError

Arrays = Mapping[str, NDArray[Any]]
_TYPES = {"U8": "u1", "I32": "<i4", "I64": "<i8", "F32": "<f4", "F64": "<f8"}


@dataclass(frozen=True)
class KeptArrays:
    """Arrays with what is known of them.

    Attributes:
        arrays: by name; read-only where they are mapped.
        about: whatever JSON can hold.
    """

    arrays: Arrays
    about: Mapping[str, Any]


def keep_arrays(path: Path, key: Mapping[str, Any], make: Callable[[], KeptArrays]) -> KeptArrays:
    """Arrays from a file, or made anew and written there when the file is missing, damaged or of another key.

    Several processes that ask at the same time make them once. Where the file cannot be written, they are made at each
    start.

    Args:
        path: the file.
        key: all that the arrays depend on, as JSON can hold it.
        make: makes them.
    """
    if (kept := read_arrays(path, key)) is not None:
        return kept
    with _locked(path):
        if (kept := read_arrays(path, key)) is not None:
            return kept
        made = make()
        try:
            write_arrays(path, key, made)
        except SaywhereError as error:
            logging.getLogger("saywhere").warning("%s; it is made again at the next start", error)
            return made
    return read_arrays(path, key) or made


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process at a time make a file; where no lock can be had, each makes its own."""
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def write_arrays(path: Path, key: Mapping[str, Any], kept: KeptArrays) -> None:
    """Write arrays atomically; arguments as for :func:`keep_arrays`."""
    arrays = {name: np.ascontiguousarray(array) for name, array in kept.arrays.items()}
    sums = {name: _check_sum(array) for name, array in arrays.items()}
    values = {"key": key, "about": kept.about, "sums": sums}
    write_atomically(path, save(arrays, {name: json.dumps(value) for name, value in values.items()}))


def read_arrays(path: Path, key: Mapping[str, Any]) -> KeptArrays | None:
    """Map the arrays of a file; None when it is missing, damaged or of another key."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, path.stat().st_size)))
        about = header.pop("__metadata__")
        if json.loads(about["key"]) != json.loads(json.dumps(key)):
            return None
        is_empty = path.stat().st_size == 8 + length
        content = np.zeros(0, np.uint8) if is_empty else np.memmap(path, np.uint8, "r", 8 + length)
        arrays = {
            name: content[slice(*each["data_offsets"])].view(_TYPES[each["dtype"]]).reshape(each["shape"])
            for name, each in header.items()
        }
        if {name: _check_sum(array) for name, array in arrays.items()} != json.loads(about["sums"]):
            return None
        return KeptArrays(arrays, json.loads(about["about"]))
    # Whatever a damaged file has in it.
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _check_sum(array: NDArray[Any]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
