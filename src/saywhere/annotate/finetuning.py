"""Fine-tuning on the images of a project that are done: a process in the background, and the weights that it made.

The process is ``saywhere finetune --background``. It has a low priority and ends with the server; what it had done by
then is kept, and it goes on from there when it is started again.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from saywhere.annotate.db.database import PROJECT_FOLDER
from saywhere.annotate.db.store import Store
from saywhere.annotate.image_folder import ImageFolder
from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError

FOLDER = Path(PROJECT_FOLDER) / "finetuned"
COMMAND = (sys.executable, "-m", "saywhere.cli", "finetune")
NEEDED = ("torch", "lightning_fabric")
STOP_SECONDS = 5.0
Status = Literal["none", "running", "interrupted", "failed", "finished"]


@dataclass(frozen=True)
class FineTuningState:
    """How far it is, and what it brought.

    Attributes:
        problem: why it cannot be started; None where it can.
        status: of the last run; "interrupted" where the server ended before it.
        phase: "before", "training" or "after" while it runs: what is measured, or that it learns.
        share: how much of the phase is done, 0 to 1.
        message: the last line of a run that failed.
        result: figures of the held-out objects, as ``saywhere finetune`` wrote them.
        in_use: whether the server uses weights that were made here.
    """

    problem: str | None
    status: Status
    phase: str | None = None
    share: float = 0.0
    message: str | None = None
    result: Mapping[str, Any] | None = field(default=None)
    in_use: bool = False


class FineTuning:
    """The fine-tuning of one project. Any thread may use it.

    Args:
        store: the project.
        folder: its images; what is made lies below it.
        weights: the file that the server started with; None for a network that has none, which cannot be fine-tuned.
        use: has the server use weights from now on: a file that was made here, or None for those it started with.
        command: begins the process; its options follow.
    """

    def __init__(
        self, store: Store, folder: ImageFolder, weights: Path | None, use: Callable[[Path | None], None],
        command: Sequence[str] = COMMAND,
    ) -> None:  # fmt: skip
        self._store, self._images, self._weights, self._use = store, folder, weights, use
        self._command = tuple(command)
        self._folder = folder.root / FOLDER
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()

    @property
    def _run(self) -> Path:
        return self._folder / "run"

    def state(self) -> FineTuningState:
        """How far it is."""
        with self._lock:
            problem, in_use = self._problem(), in_use_below(self._images.root) is not None
            result = _read(self._run / "out" / "result.json")
            if self._process is not None and self._process.poll() is None:
                phase, share = self._progress()
                return FineTuningState(problem, "running", phase, share, in_use=in_use)
            if result is not None:
                return FineTuningState(problem, "finished", result=result, in_use=in_use)
            if self._process is not None and self._process.returncode > 0:
                return FineTuningState(problem, "failed", message=self._last_line(), in_use=in_use)
            status: Status = "interrupted" if (self._run / "data.json").is_file() else "none"
            return FineTuningState(problem, status, in_use=in_use)

    def start(self) -> FineTuningState:
        """Begin, or go on with a run that was interrupted.

        Raises:
            SaywhereError: it cannot be started, or nothing is done yet.
        """
        with self._lock:
            before = self.state()
            if before.problem is not None:
                raise SaywhereError(before.problem)
            if before.status == "running":
                return before
            if before.status != "interrupted":
                shutil.rmtree(self._run, ignore_errors=True)
                self._run.mkdir(parents=True)
                self._write_data()
            options = [
                str(self._run / "data.json"), "--images", str(self._images.root), "--out", str(self._run / "out"),
                "--weights", str(self._weights), "--status", str(self._run / "status.json"), "--background",
            ]  # fmt: skip
            (self._run / "status.json").unlink(missing_ok=True)
            with (self._run / "output.txt").open("wb") as output:
                self._process = subprocess.Popen(
                    [*self._command, *options], stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    env={**os.environ, "COLUMNS": "1000"},
                )  # fmt: skip
            return self.state()

    def cancel(self) -> FineTuningState:
        """End the run and forget it; weights that are in use stay."""
        with self._lock:
            self._stop()
            self._process = None
            shutil.rmtree(self._run, ignore_errors=True)
            return self.state()

    def accept(self) -> FineTuningState:
        """Use the new weights from now on; SaywhereError where there are none, or they are not better."""
        with self._lock:
            result = self.state().result
            if self._weights is None:
                raise SaywhereError(self._problem() or "fine-tuning: there are no weights to start from")
            if result is None:
                raise SaywhereError("fine-tuning: there are no new weights; start it and wait until it is finished")
            if not result["improved"]:
                raise SaywhereError("fine-tuning: the new weights are no better on the held-out objects; none are used")
            kept = self._folder / f"weights-{time.time_ns():x}.safetensors"
            write_atomically(kept, (self._run / "out" / "weights.safetensors").read_bytes())
            self._use(kept)
            write_atomically(self._folder / "in-use.json", json.dumps({"weights": kept.name}).encode())
            return self.state()

    def undo(self) -> FineTuningState:
        """Use the weights again that the server started with; those that were made stay on the disk."""
        with self._lock:
            if in_use_below(self._images.root) is None:
                return self.state()
            if self._weights is not None:  # else the server uses no weights that were made here
                self._use(None)
            (self._folder / "in-use.json").unlink(missing_ok=True)
            return self.state()

    def close(self) -> None:
        """End the process; its run is then interrupted."""
        with self._lock:
            self._stop()

    def _problem(self) -> str | None:
        if self._weights is None:
            return "fine-tuning is for our own network, computed by the server; leave out --model and --in-browser"
        missing = next((name for name in NEEDED if importlib.util.find_spec(name) is None), None)
        if missing is not None:
            return f"fine-tuning: {missing} is missing; pip install 'saywhere[torch]' where the server runs"
        return None

    def _write_data(self) -> None:
        from saywhere.annotate.exports.options import ExportOptions
        from saywhere.annotate.exports.selection import select_images
        from saywhere.annotate.exports.write import write_tree

        if not select_images(self._store, only_done=True, only_approved=False).rows:
            raise SaywhereError("fine-tuning: no image is done; annotate some and mark them as done first")
        write_tree(self._store, self._images, self._run / "data.json", ExportOptions("coco"))

    def _progress(self) -> tuple[str, float]:
        path = self._run / "status.json"
        status = _read(path)
        if status is None:
            return "before", 0.0
        done = float(status["done"])
        if status["phase"] == "training":  # written once, when it begins
            done = time.time() - path.stat().st_mtime
        return str(status["phase"]), min(done / max(float(status["total"]), 1e-9), 1.0)

    def _last_line(self) -> str:
        lines = (self._run / "output.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1].removeprefix("saywhere: ")[:1000] if lines else "fine-tuning: ended without a word"

    def _stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def in_use_below(root: Path) -> Path | None:
    """The weights that were accepted in a project; None where it uses those that the server starts with.

    Args:
        root: the folder of images.
    """
    content = _read(root / FOLDER / "in-use.json")
    path = None if content is None else root / FOLDER / Path(str(content.get("weights"))).name
    return path if path is not None and path.is_file() else None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
