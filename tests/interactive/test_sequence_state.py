"""Sequences on the disk: what is kept, folders that cannot be used, two processes, and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sequences import QUICK, SMALL, annotate, photo_with, same

from conftest import ColourRuntime
from saywhere import SaywhereError, Segmenter, Sequence
from saywhere.interactive.sequence import SequenceOptions
from saywhere.interactive.sequence.state import load_state, previous_path, state_path
from saywhere.runtime.torch import TorchRuntime


def one_more(seq: Sequence) -> None:
    """Annotate, and wait for what comes of it."""
    annotate(seq, 90, 40)
    seq.wait()


class TestDisk:
    def test_it_goes_on_where_it_stopped(self, network: TorchRuntime, tmp_path: Path) -> None:
        with Sequence(Segmenter(network, SMALL), "disc", tmp_path, QUICK) as whole:
            for i in range(6):
                annotate(whole, 30 + 10 * i, 40)
        for part in ((0, 1, 2), (3, 4, 5)):
            with Sequence(Segmenter(network, SMALL), "disc two", tmp_path, QUICK) as seq:
                for i in part:
                    annotate(seq, 30 + 10 * i, 40)
        assert same(whole.learned, seq.learned)
        assert seq.memory.examples == whole.memory.examples
        assert seq.memory.outcomes == whole.memory.outcomes
        assert [c.number for c in seq.memory.clicks] == list(range(6))
        assert all(
            np.array_equal(ours, theirs)
            for click, other in zip(seq.memory.clicks, whole.memory.clicks, strict=True)
            for ours, theirs in zip(click.vectors, other.vectors, strict=True)
        )
        assert not list(tmp_path.glob(".*safetensors*"))

    def test_the_state_of_a_long_sequence_is_small(self, tmp_path: Path) -> None:
        import saywhere

        noise = np.random.default_rng(0)
        with Sequence(saywhere.load(device="cpu"), "noise", tmp_path, SequenceOptions(learn=False, interval=1)) as seq:
            # The most that any sequence keeps: a full bank, of pictures that pack badly, and every click.
            for i in range(52):
                image = noise.integers(0, 256, (48, 64, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
                seq.propose(image if i < 50 else None)
                mask = np.zeros(image.shape[:2], np.bool_)
                mask[20 + i : 120, 40:200] = True
                seq.accept(mask)
                if i == 49:
                    clicks = seq.memory.clicks * 6
                    seq.memory = replace(seq.memory, clicks=clicks[:255])
            assert len(seq.memory.clicks) == 256
        assert state_path(tmp_path, "noise").stat().st_size < 2.7e6

    def test_labels_have_files_of_their_own(self, tmp_path: Path) -> None:
        names = ["Cat", "cat", "cät", "a/b", "a b", "../x", "", "x" * 400]
        paths = {state_path(tmp_path, name) for name in names}
        assert len(paths) == len(names)
        assert all(path.parent == tmp_path and len(path.name) < 100 for path in paths)

    def test_a_network_without_purification_is_refused(self, runtime: ColourRuntime) -> None:
        with pytest.raises(SaywhereError, match="no purification layer"):
            Sequence(Segmenter(runtime), "x", None)

    def test_nothing_to_accept_is_said(self, network: TorchRuntime, photo: np.ndarray) -> None:
        segmenter = Segmenter(network, SMALL)
        with Sequence(segmenter, "x", None, QUICK) as seq:
            with pytest.raises(SaywhereError, match="call propose first"):
                seq.accept()
            seq.propose(photo)
            with pytest.raises(SaywhereError, match="click on the object first"):
                seq.accept()
            with pytest.raises(SaywhereError, match="empty"):
                seq.accept(np.zeros((480, 640), np.bool_))
            segmenter.set_image(photo)
            with pytest.raises(SaywhereError, match="call propose first"):
                seq.accept(np.ones((480, 640), np.bool_))


class TestBadFolders:
    """A clear line, the last good state, and annotation goes on without learning."""

    def state(self, network: TorchRuntime, folder: Path, label: str = "disc") -> Path:
        with Sequence(Segmenter(network, SMALL), label, folder, QUICK) as seq:
            annotate(seq, 30, 40)
            annotate(seq, 60, 40)
        assert seq.error is None
        return state_path(folder, label)

    def goes_on(self, network: TorchRuntime, folder: Path, *words: str, rounds: int) -> None:
        files = {path: path.read_bytes() for path in folder.glob("*.safetensors")} if folder.is_dir() else {}
        with pytest.warns(UserWarning, match="goes on without learning"):
            seq = Sequence(Segmenter(network, SMALL), "disc", folder, QUICK)
        with seq:
            assert seq.error is not None
            assert "\n" not in seq.error
            assert all(word in seq.error for word in words), seq.error
            assert seq.learned.rounds == rounds
            annotate(seq, 90, 40)
            assert seq.propose(photo_with((50, 50))) is not None  # proposals need no disk
            assert seq.learned.rounds == rounds
        assert all(path.read_bytes() == content for path, content in files.items())

    @pytest.mark.parametrize("keep", [0, 7, 300, -1])
    def test_half_written(self, network: TorchRuntime, tmp_path: Path, keep: int) -> None:
        path = self.state(network, tmp_path)
        path.write_bytes(path.read_bytes()[:keep])
        self.goes_on(network, tmp_path, path.name, "damaged or cut short", "move it away", rounds=1)

    def test_of_other_weights(self, network: TorchRuntime, tmp_path: Path) -> None:
        self.state(network, tmp_path)
        other = TorchRuntime(network.model, "tiny", "digest-b", "cpu")
        self.goes_on(other, tmp_path, "digest-a", "digest-b", "move it away", rounds=0)

    @pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
    def test_read_only(self, network: TorchRuntime, tmp_path: Path) -> None:
        self.state(network, tmp_path)
        for path in tmp_path.iterdir():
            path.chmod(0o444)
        tmp_path.chmod(0o555)
        try:
            self.goes_on(network, tmp_path, "cannot be written", rounds=2)
        finally:
            tmp_path.chmod(0o755)

    def test_that_cannot_be_claimed(
        self, network: TorchRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.state(network, tmp_path)

        def refused(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("filelock.FileLock.acquire", refused)
        self.goes_on(network, tmp_path, "cannot be written", "Permission denied", rounds=2)

    def test_that_is_a_file(self, network: TorchRuntime, tmp_path: Path) -> None:
        (tmp_path / "here").write_text("no folder")
        self.goes_on(network, tmp_path / "here", "cannot be", rounds=0)

    @pytest.mark.parametrize("interval", [1, None])
    def test_full(
        self, network: TorchRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: int | None
    ) -> None:
        path = self.state(network, tmp_path)
        before = path.read_bytes()
        seq = Sequence(Segmenter(network, SMALL), "disc", tmp_path, replace(QUICK, interval=interval))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with seq:
            with pytest.warns(UserWarning, match="No space left"):
                one_more(seq)
            assert seq.error is not None
            assert "No space left" in seq.error
            one_more(seq)
        monkeypatch.undo()
        assert path.read_bytes() == before
        with Sequence(Segmenter(network, SMALL), "disc", tmp_path, QUICK) as again:
            assert again.error is None
            assert len(again.memory.numbers) == 2

    def test_that_another_process_is_learning_in(self, network: TorchRuntime, tmp_path: Path) -> None:
        self.state(network, tmp_path)
        with Sequence(Segmenter(network, SMALL), "disc", tmp_path, QUICK):
            self.goes_on(network, tmp_path, "another process has this label open", rounds=2)


PATIENCE = 300  # seconds
PROCESS = """
import sys, warnings
from pathlib import Path
sys.path.insert(0, sys.argv[4])
import torch
from test_sequence import QUICK, SMALL, Segmenter, Sequence, annotate
from saywhere.runtime.torch import TorchRuntime
from saywhere.models.saywhere import Saywhere
warnings.simplefilter("error")
torch.manual_seed(0)
torch.set_num_threads(1)
runtime = TorchRuntime(Saywhere(widths=(8, 8, 16, 16), key=8).eval(), "tiny", "digest-p", "cpu")
with Sequence(Segmenter(runtime, SMALL), sys.argv[2], Path(sys.argv[1]), QUICK) as seq:
    for i in range(int(sys.argv[3])):
        annotate(seq, 30 + i % 60, 40)
        print(i, flush=True)
"""


@contextmanager
def process(folder: Path, label: str, count: int) -> Iterator[subprocess.Popen[str]]:
    here = str(Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROCESS, str(folder), label, str(count), here]
    one = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield one
    finally:
        one.kill()
        one.wait()


def test_two_processes_in_one_folder_keep_their_labels(tmp_path: Path) -> None:
    with process(tmp_path, "left", 8) as left, process(tmp_path, "right", 8) as right:
        assert left.wait(PATIENCE) == right.wait(PATIENCE) == 0
    states = [
        load_state(state_path(tmp_path, label), {"weights": "digest-p", "label": label}) for label in ("left", "right")
    ]
    assert all(state is not None and len(state[0].numbers) == 8 for state in states)
    # The same photographs and the same seed: had one touched the other's file, they would differ.
    assert same(states[0][1], states[1][1])  # type: ignore[index]


def test_killed_while_writing_the_state_is_whole(tmp_path: Path) -> None:
    """SIGKILL at several moments of a process that writes after every mask."""
    facts = {"weights": "digest-p", "label": "x"}
    path, kept = state_path(tmp_path, "x"), 0
    for pause in (0.0, 0.023):
        with process(tmp_path, "x", 10_000) as victim:
            assert victim.stdout is not None
            for _ in range(3):
                assert victim.stdout.readline()
            time.sleep(pause)
            victim.send_signal(signal.SIGKILL)
            assert victim.wait() == -signal.SIGKILL
        found = load_state(path, facts)
        assert found is not None
        assert found[0].numbers == tuple(range(len(found[0].numbers)))
        assert len(found[0].numbers) >= kept + 3  # nothing that was accepted is lost
        kept = len(found[0].numbers)
        assert load_state(previous_path(path), facts) is not None
