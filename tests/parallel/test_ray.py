"""A real cluster of two workers on this machine, one of which is killed half-way: the results are the very same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from saywhere.data.datasets import read_coco
from saywhere.evaluation.journal import read_records

pytest.importorskip("ray")

DISC = "conftest:DiscRuntime"
STORE = 80 * 2**20  # bytes, the least that Ray takes
# A machine that is gone is noticed in two seconds; one that is only slow to answer is given much longer.
WATCH = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
    "health_check_timeout_ms": 20_000,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head that does no work, and two workers with a processor each."""
    # Ray's sockets lie in this folder, and a socket's path has room for about a hundred letters.
    folder = tempfile.mkdtemp(prefix="r", dir="/tmp")
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")  # else a token is written to the home folder
        patch.setenv("RAY_raylet_start_wait_time_s", "120")
        patch.setenv("RAY_worker_niceness", "0")  # else a busy machine leaves workers no time to start
        patch.setenv("PYTHONPATH", paths)
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": STORE, "_system_config": WATCH}
        made = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            made.add_node(num_cpus=1, include_dashboard=False, object_store_memory=STORE)
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
        made.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def many(coco: Path, objects: int) -> Path:
    """The six photographs again and again, each time with a box too: as many objects as there are to be."""
    content = json.loads(coco.read_text())
    content["annotations"] = [
        content["annotations"][i % 6] | {"id": i + 1, "bbox": [20 + 4 * (i % 6 + 1), 15 + 3 * (i % 6 + 1), 50, 40]}
        for i in range(objects)
    ]
    # Each object has a photograph of its own, so that there are as many pieces of work.
    content["images"] = [
        content["images"][i % 6] | {"id": i + 1, "file_name": f"set/{i + 1}.png"} for i in range(objects)
    ]
    for i in range(6, objects):
        shutil.copy(coco.parent / "set" / f"{i % 6 + 1}.png", coco.parent / "set" / f"{i + 1}.png")
    for i, annotation in enumerate(content["annotations"], 1):
        annotation["image_id"] = i
    coco.write_text(json.dumps(content))
    return coco


def start(folder: Path, *arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "saywhere.cli", *map(str, arguments), "--model", DISC, "--threads", "1"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines() if line]


def kill_one_worker_when(cluster: Any, running: subprocess.Popen[bytes], begun: Callable[[], bool]) -> None:
    while running.poll() is None and not begun():
        time.sleep(0.02)
    assert running.poll() is None, "the run was over before the worker could be killed"
    cluster.remove_node(cluster.list_all_nodes()[-1], allow_graceful=False)


@pytest.mark.slow
def test_bench_with_a_worker_killed_half_way(cluster: Any, coco: Path, tmp_path: Path) -> None:
    # Enough objects that half of them are still to be done when the worker is killed.
    data = many(coco, 40)
    assert start(tmp_path, "bench", "--data", data, "--json", "one.json").wait(600) == 0
    # A relative path means the same on every worker.
    running = start(tmp_path, "bench", "--data", data.name, "--json", "ray.json", "--engine", "ray")
    journal = tmp_path / "ray.jsonl"
    kill_one_worker_when(cluster, running, lambda: journal.exists() and journal.read_bytes().count(b'"last": true') > 5)
    assert running.wait(600) == 0
    one, ray = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "ray.json"))
    moving = {"engine", "jobs", "peak_memory_mb", "command", "data"} | {name for name in one if "_ms_" in name}
    assert {k: v for k, v in ray.items() if k not in moving} == {k: v for k, v in one.items() if k not in moving}
    assert (ray["engine"], ray["objects"]) == ("ray", 40)
    # Not only are the means the same, but every interaction, and each is there once.
    compared = ("object", "k", "x", "y", "positive", "iou", "boundary_iou", "mask", "last")
    kept = {
        name: sorted([line[key] for key in compared] for line in lines_of(tmp_path / f"{name}.jsonl")[1:])
        for name in ("one", "ray")
    }
    assert kept["one"] == kept["ray"]
    assert len(read_records(journal)) == 40


@pytest.mark.slow
def test_prelabel_with_a_worker_killed_half_way(cluster: Any, coco: Path, tmp_path: Path) -> None:
    data = many(coco, 120)
    while len(cluster.list_all_nodes()) < 3:
        cluster.add_node(num_cpus=1, include_dashboard=False, object_store_memory=STORE)
    assert start(tmp_path, "prelabel", data, "--out", "one.json").wait(600) == 0
    running = start(tmp_path, "prelabel", data.name, "--out", "ray.json", "--engine", "ray")
    journal = tmp_path / "ray.jsonl"
    kill_one_worker_when(cluster, running, lambda: journal.exists() and journal.read_bytes().count(b"\n") > 5)
    assert running.wait(600) == 0
    assert (tmp_path / "ray.json").read_bytes() == (tmp_path / "one.json").read_bytes()
    keys = [line["key"] for line in lines_of(journal)[1:]]
    assert len(keys) == len(set(keys)) == 120
    assert len(read_coco(tmp_path / "ray.json")) == 120


def test_what_no_machine_can_do_is_refused(cluster: Any, coco: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "saywhere.cli",
        "bench",
        "--engine",
        "ray",
        "--model",
        DISC,
        "--threads",
        "64",
    ]
    run = subprocess.run(
        [*command, "--data", str(coco), "--json", "out.json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 2
    assert "no machine of the cluster has 64 processors" in run.stderr.replace("\n", " ")
