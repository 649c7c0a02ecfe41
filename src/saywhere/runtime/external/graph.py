"""A graph of an ONNX file, ready to run by ONNX Runtime."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import onnxruntime
from numpy.typing import NDArray

from saywhere.core.processes import renew_after_fork
from saywhere.errors import SaywhereError
from saywhere.runtime.external.onnx_file import OnnxFile, read_onnx_file
from saywhere.runtime.onnx import abandon, session_options
from saywhere.runtime.threads import get_threads

LARGE = 256 << 20  # bytes of a file from which on it is in memory once, for whatever number of threads


class Graph:
    """The graph of an ONNX file. The weights are read when it first runs.

    Args:
        path: of the file.

    Attributes:
        file: what the file says of itself.

    Raises:
        SaywhereError: as for :func:`read_onnx_file`.
    """

    def __init__(self, path: Path) -> None:
        self.file: OnnxFile = read_onnx_file(path)
        self._sessions: dict[tuple[str, int], onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """New sessions when they are next needed, as for :class:`saywhere.runtime.onnx.Sessions`."""
        abandon(self._sessions)
        self._sessions, self._lock = {}, threading.Lock()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the graph.

        Args:
            inputs: arrays by name.

        Returns:
            Its outputs by name, in order.

        Raises:
            SaywhereError: ONNX Runtime cannot read the file, or cannot run it with these inputs.
        """
        session = self._session()
        try:
            outputs = session.run(None, dict(inputs))
        except Exception as error:  # ONNX Runtime's own exceptions have no common class
            given = ", ".join(f"{name} ({' x '.join(map(str, array.shape))})" for name, array in inputs.items())
            raise SaywhereError(
                f"model file '{self.file.path}': it does not run with {given} ({_reason(error)})"
            ) from error
        return dict(zip((value.name for value in self.file.outputs), outputs, strict=True))

    def _session(self) -> onnxruntime.InferenceSession:
        threads = get_threads()
        is_large = sum(path.stat().st_size for path in (self.file.path, *self.file.external)) >= LARGE
        key = "", 0 if is_large else threads
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = self._open(threads)
            return self._sessions[key]

    def _open(self, threads: int) -> onnxruntime.InferenceSession:
        options = session_options(threads)
        try:
            return onnxruntime.InferenceSession(str(self.file.path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise SaywhereError(
                f"model file '{self.file.path}': ONNX Runtime {onnxruntime.__version__} cannot read it, written with "
                f"opset {self.file.opset} ({_reason(error)})"
            ) from error

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self  # nothing in it changes

    def __getstate__(self) -> Path:
        return self.file.path

    def __setstate__(self, state: Path) -> None:
        self.__init__(state)  # type: ignore[misc]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
