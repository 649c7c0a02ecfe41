"""One Segmenter in threads, in forked and spawned processes, copied, pickled and under asyncio."""

from __future__ import annotations

import asyncio
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import saywhere
from saywhere import SaywhereError, Segmenter
from saywhere.core.settings import Settings
from saywhere.interactive.sequence.worker import Worker

IMAGE = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
SMALL = Settings(size=96, zoom_size=96)


@pytest.fixture(scope="module")
def used() -> Segmenter:
    segmenter = saywhere.load(settings=SMALL).set_image(IMAGE)
    segmenter.click(30, 30)
    return segmenter


@pytest.fixture
def segmenter(used: Segmenter) -> Segmenter:
    other = used.new_object()
    other.click(30, 30)
    return other


def click_there(segmenter: Segmenter, queue: Any) -> None:
    queue.put(segmenter.click(60, 40).array)


@pytest.mark.parametrize("method", [m for m in ("fork", "spawn") if m in multiprocessing.get_all_start_methods()])
def test_another_process_answers_the_same(segmenter: Segmenter, method: str) -> None:
    """ONNX Runtime's threads are not copied by a fork: a session that was used would wait for them for ever."""
    context: Any = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=click_there, args=(segmenter, queue))
    process.start()
    try:
        answer = queue.get(timeout=120)
        process.join(30)
        assert process.exitcode == 0
    finally:
        process.kill()
    assert (answer == segmenter.click(60, 40).array).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_interpreter_answers_and_ends() -> None:
    """Its normal end waits for threads of ONNX Runtime too, which are not there."""
    code = (
        "import os, sys, numpy as np, saywhere\n"
        "from saywhere.core.settings import Settings\n"
        "seg = saywhere.load(settings=Settings(size=96, zoom_size=96)).set_image(np.zeros((60, 60, 3), np.uint8))\n"
        "seg.click(5, 5)\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    print('answer', seg.click(9, 9).array.shape)\n"
        "    sys.exit(7)\n"
        "print('status', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split("\n")[:2] == ["answer (60, 60)", "status 7"]


def test_threads_share_a_segmenter_and_lose_no_click(segmenter: Segmenter) -> None:
    segmenter.reset()
    places = [(10 + 5 * i, 10 + 3 * j) for i in range(4) for j in range(3)]
    failed: list[BaseException] = []

    def click(part: list[tuple[int, int]]) -> None:
        try:
            for x, y in part:
                segmenter.click(x, y)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=click, args=(places[i::4],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert {(c.x, c.y) for c in segmenter.prompt.clicks} == {*places}
    for left in range(len(places) - 1, -1, -1):
        segmenter.undo()
        assert len(segmenter.prompt) == left


def test_a_lock_that_a_thread_held_at_the_fork_is_free_in_the_child(segmenter: Segmenter) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    held, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with segmenter._lock:
            held.set()
            go_on.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    child = os.fork()
    if not child:
        segmenter.reset()
        os._exit(0)
    assert ended(child) == 0
    go_on.set()
    thread.join()


def ended(child: int) -> int | None:
    """The exit status of a child; None, after killing it, if it hangs."""
    for _ in range(3000):
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def through_pickle(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, through_pickle])
def test_copies_answer_the_same_and_are_independent(segmenter: Segmenter, duplicate: Callable[[Any], Any]) -> None:
    mask, prompt = segmenter.mask, segmenter.prompt
    assert mask is not None
    assert (duplicate(mask).array == mask.array).all()
    assert duplicate(prompt) == prompt
    other = duplicate(segmenter)
    assert (other.mask.array == mask.array).all()
    answer = other.click(70, 50)
    assert len(segmenter.prompt) == 1
    assert (segmenter.click(70, 50).array == answer.array).all()
    assert other.undo() is not None
    assert len(segmenter.prompt) == 2


def test_asyncio_runs_it_in_threads(segmenter: Segmenter) -> None:
    async def clicks() -> None:
        await asyncio.gather(*(asyncio.to_thread(segmenter.click, 20 + 9 * i, 20) for i in range(5)))

    segmenter.reset()
    with ThreadPoolExecutor() as pool:  # in the main thread the browser of other tests has a loop
        pool.submit(asyncio.run, clicks()).result()
    assert len(segmenter.prompt) == 5


def test_a_mask_that_the_caller_changes_does_not_change_the_history(segmenter: Segmenter) -> None:
    mask = segmenter.mask
    assert mask is not None
    before, probability = mask.array, mask.probability
    mask.array[:] = ~before
    changed = mask.array
    changed[:] = ~before
    mask.probability[:] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        mask.logits[:] = 0.0
    with pytest.raises(ValueError, match="read-only"):
        segmenter.relevance_in_crop("dog")[:] = 0.0
    segmenter.click(5, 5, False)
    undone = segmenter.undo()
    assert undone is mask
    assert (undone.array == before).all()
    assert (undone.probability == probability).all()


def test_a_sequence_is_not_copied_but_says_why(segmenter: Segmenter, tmp_path: Path) -> None:
    with saywhere.Sequence(segmenter, "dog", tmp_path) as sequence:
        for duplicate in (copy.deepcopy, pickle.dumps):
            with pytest.raises(SaywhereError, match="sequence 'dog': cannot be copied or pickled"):
                duplicate(sequence)


def test_a_forked_process_does_not_wait_for_the_learning_of_its_parent() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    worker: Worker[int] = Worker(lambda job: None, lambda reason: None)
    child = os.fork()
    if not child:
        try:
            worker.put(1)
        except SaywhereError:
            worker.close()
            os._exit(7)
        os._exit(0)
    assert ended(child) == 7
    worker.put(1)
    worker.wait()
    worker.close()


def test_a_sequence_whose_file_is_cut_off_says_so_with_every_answer(segmenter: Segmenter, tmp_path: Path) -> None:
    segmenter.set_image(IMAGE)
    with saywhere.Sequence(segmenter, "dog", tmp_path) as sequence:
        assert sequence.learns
        sequence.propose(IMAGE)
        segmenter.click(30, 30)
        sequence.accept(np.eye(96, 128, dtype=bool))
        sequence.wait()
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:500])
    for path in tmp_path.glob("*.previous"):
        path.unlink()
    with pytest.warns(UserWarning, match="cut short"):
        sequence = saywhere.Sequence(segmenter, "dog", tmp_path)
    with sequence:
        assert not sequence.learns
        sequence.propose(IMAGE)
        mask = np.eye(96, 128, dtype=bool)
        for _ in range(2):
            with pytest.warns(UserWarning, match="nothing is learned from this mask: .*cut short"):
                sequence.accept(mask)
        mask[:] = False
        assert all(accepted.any() for accepted in sequence._accepted_masks.values())
        with pytest.raises(SaywhereError, match="give bool of shape"):
            sequence.accept(mask.astype(int))  # type: ignore[arg-type]
        with pytest.raises(SaywhereError, match="give bool of shape"):
            sequence.propose(IMAGE, ignore=mask[:5])


@pytest.mark.parametrize(
    "device", ["cuda", "cuda:7", "cuda:-1", "gpu", "CPU", "mps", "", "cuda:99999999999", 0, b"cpu"]
)
def test_devices_that_are_not_there(device: Any) -> None:
    torch = pytest.importorskip("torch")
    if device in ("cuda", "mps") and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        pytest.skip("there is one here")
    with pytest.raises(SaywhereError, match="device "):
        saywhere.load(device=device)


def test_forgetting_steps_waits_for_the_interaction_of_another_thread(segmenter: Segmenter) -> None:
    thread = threading.Thread(target=segmenter.forget_steps, args=(0,))
    with segmenter._lock:
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
        assert segmenter.undoable == 1
    thread.join(30)
    assert segmenter.undoable == 0
    assert segmenter.undo() is segmenter.mask is not None
