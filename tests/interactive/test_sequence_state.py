"""State files of sequences: content, unusable folders, two processes, and killed processes."""

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


def annotate_and_wait(seq: Sequence) -> None:
    """Annotate an image, and wait until it is learned from."""
    annotate(seq, 90, 40)
    seq.wait()


class TestDisk:
    def test_a_sequence_continues_from_its_state_file(self, network: TorchRuntime, tmp_path: Path) -> None:
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
            # The largest possible state: a full bank of crops that compress badly, and a full click bank.
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

    def test_each_label_has_its_own_file(self, tmp_path: Path) -> None:
        names = ["Cat", "cat", "cät", "a/b", "a b", "../x", "", "x" * 400]
        paths = {state_path(tmp_path, name) for name in names}
        assert len(paths) == len(names)
        assert all(path.parent == tmp_path and len(path.name) < 100 for path in paths)

    def test_a_network_without_purification_is_refused(self, runtime: ColourRuntime) -> None:
        with pytest.raises(SaywhereError, match="no purification layer"):
            Sequence(Segmenter(runtime), "x", None)

    def test_accept_without_a_mask_or_image_is_an_error(self, network: TorchRuntime, photo: np.ndarray) -> None:
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
    """One clear line, the last good state, and annotation continues without learning."""

    def save_two_masks(self, network: TorchRuntime, folder: Path, label: str = "disc") -> Path:
        with Sequence(Segmenter(network, SMALL), label, folder, QUICK) as seq:
            annotate(seq, 30, 40)
            annotate(seq, 60, 40)
        assert seq.error is None
        return state_path(folder, label)

    def check_continues(self, network: TorchRuntime, folder: Path, *messages: str, rounds: int) -> None:
        files = {path: path.read_bytes() for path in folder.glob("*.safetensors")} if folder.is_dir() else {}
        with pytest.warns(UserWarning, match="continues without learning"):
            seq = Sequence(Segmenter(network, SMALL), "disc", folder, QUICK)
        with seq:
            assert seq.error is not None
            assert "\n" not in seq.error
            assert all(message in seq.error for message in messages), seq.error
            assert seq.learned.rounds == rounds
            annotate(seq, 90, 40)
            assert seq.propose(photo_with((50, 50))) is not None  # proposals need no disk
            assert seq.learned.rounds == rounds
        assert all(path.read_bytes() == content for path, content in files.items())

    @pytest.mark.parametrize("keep", [0, 7, 300, -1])
    def test_half_written(self, network: TorchRuntime, tmp_path: Path, keep: int) -> None:
        path = self.save_two_masks(network, tmp_path)
        path.write_bytes(path.read_bytes()[:keep])
        self.check_continues(network, tmp_path, path.name, "damaged or cut short", "move it away", rounds=1)

    def test_of_other_weights(self, network: TorchRuntime, tmp_path: Path) -> None:
        self.save_two_masks(network, tmp_path)
        other = TorchRuntime(network.model, "tiny", "digest-b", "cpu")
        self.check_continues(other, tmp_path, "digest-a", "digest-b", "move it away", rounds=0)

    def test_of_weights_with_the_same_values(self, network: TorchRuntime, tmp_path: Path) -> None:
        self.save_two_masks(network, tmp_path)
        other = TorchRuntime(network.model, "tiny", "digest-b", "cpu", {"equal_to": ["digest-a"]})
        with Sequence(Segmenter(other, SMALL), "disc", tmp_path, QUICK) as seq:
            assert seq.error is None
            assert seq.learned.rounds == 2
            annotate(seq, 60, 40)
        with Sequence(Segmenter(other, SMALL), "disc", tmp_path, QUICK) as seq:
            assert seq.learned.rounds == 3

    @pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may write anywhere")
    def test_read_only(self, network: TorchRuntime, tmp_path: Path) -> None:
        self.save_two_masks(network, tmp_path)
        for path in tmp_path.iterdir():
            path.chmod(0o444)
        tmp_path.chmod(0o555)
        try:
            self.check_continues(network, tmp_path, "cannot be written", rounds=2)
        finally:
            tmp_path.chmod(0o755)

    def test_that_cannot_be_locked(
        self, network: TorchRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.save_two_masks(network, tmp_path)

        def deny(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("filelock.FileLock.acquire", deny)
        self.check_continues(network, tmp_path, "cannot be written", "Permission denied", rounds=2)

    def test_that_is_a_file(self, network: TorchRuntime, tmp_path: Path) -> None:
        (tmp_path / "here").write_text("no folder")
        self.check_continues(network, tmp_path / "here", "cannot be", rounds=0)

    @pytest.mark.parametrize("interval", [1, None])
    def test_full(
        self, network: TorchRuntime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interval: int | None
    ) -> None:
        path = self.save_two_masks(network, tmp_path)
        before = path.read_bytes()
        seq = Sequence(Segmenter(network, SMALL), "disc", tmp_path, replace(QUICK, interval=interval))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with seq:
            with pytest.warns(UserWarning, match="No space left"):
                annotate_and_wait(seq)
            assert seq.error is not None
            assert "No space left" in seq.error
            annotate_and_wait(seq)
        monkeypatch.undo()
        assert path.read_bytes() == before
        with Sequence(Segmenter(network, SMALL), "disc", tmp_path, QUICK) as again:
            assert again.error is None
            assert len(again.memory.numbers) == 2

    def test_that_another_process_has_locked(self, network: TorchRuntime, tmp_path: Path) -> None:
        self.save_two_masks(network, tmp_path)
        with Sequence(Segmenter(network, SMALL), "disc", tmp_path, QUICK):
            self.check_continues(network, tmp_path, "another process has this label open", rounds=2)


TIMEOUT = 300  # seconds
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
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def test_two_processes_in_one_folder_do_not_mix_their_labels(tmp_path: Path) -> None:
    with process(tmp_path, "left", 8) as left, process(tmp_path, "right", 8) as right:
        assert left.wait(TIMEOUT) == right.wait(TIMEOUT) == 0
    states = [
        load_state(state_path(tmp_path, label), {"weights": "digest-p", "label": label}) for label in ("left", "right")
    ]
    assert all(state is not None and len(state[0].numbers) == 8 for state in states)
    # Both have the same images and seed, so their states differ only if one changed the other's file.
    assert same(states[0][1], states[1][1])  # type: ignore[index]


def test_a_process_killed_while_writing_leaves_a_complete_state(tmp_path: Path) -> None:
    """SIGKILL at several moments of a process that writes after every mask."""
    identity = {"weights": "digest-p", "label": "x"}
    path, accepted = state_path(tmp_path, "x"), 0
    for pause in (0.0, 0.023):
        with process(tmp_path, "x", 10_000) as victim:
            assert victim.stdout is not None
            for _ in range(3):
                assert victim.stdout.readline()
            time.sleep(pause)
            victim.send_signal(signal.SIGKILL)
            assert victim.wait() == -signal.SIGKILL
        state = load_state(path, identity)
        assert state is not None
        assert state[0].numbers == tuple(range(len(state[0].numbers)))
        assert len(state[0].numbers) >= accepted + 3  # nothing that was accepted is lost
        accepted = len(state[0].numbers)
        assert load_state(previous_path(path), identity) is not None
