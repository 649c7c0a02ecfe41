"""Pre-labelling of a large generated table: memory over time, a restart after a kill, and that nothing is done twice.

    python benchmarks/prelabel_table.py --rows 100000

Images are generated and small, and the method is trivial, so that this measures the pipeline and not a network.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from PIL import Image

from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Runtime

SIDE = 64


class Brightness(Runtime):
    """For ``--model prelabel_table:Brightness``: whatever is about as bright as the clicked pixel."""

    name, digest = "brightness", "1"

    def encode(self, image: np.ndarray) -> np.ndarray:
        return image[..., 1].astype(np.float32)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        click = prompt.clicks[0]
        return (40.0 - np.abs(features - features[round(click.y), round(click.x)])).astype(np.float32)


def write_table(path: Path, rows: int) -> None:
    """A table of generated images, each a bright rectangle, with a click on it; every hundredth is no image."""
    rng = np.random.default_rng(0)
    fields = [
        ("id", pyarrow.string()),
        ("image", pyarrow.binary()),
        ("points", pyarrow.list_(pyarrow.list_(pyarrow.float64()))),
    ]
    with parquet.ParquetWriter(path, pyarrow.schema(fields)) as writer:
        for start in range(0, rows, 2000):
            batch = []
            for number in range(start, min(start + 2000, rows)):
                x, y = (int(v) for v in rng.integers(2, SIDE - 22, 2))
                pixels = np.full((SIDE, SIDE, 3), number % 90, np.uint8)
                pixels[y : y + 20, x : x + 20] = 200
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "png")
                content = b"no image" if number % 100 == 99 else buffer.getvalue()
                batch.append({"id": f"{number:07}", "image": content, "points": [[x + 10.0, y + 10.0, 1.0]]})
            writer.write_table(pyarrow.Table.from_pylist(batch, schema=writer.schema))


def memory(process: subprocess.Popen[bytes]) -> float:
    """Resident memory in MB; 0 once it has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    line = next((line for line in status.splitlines() if line.startswith("VmRSS")), "VmRSS: 0 kB")
    return int(line.split()[1]) / 1024


def run(source: Path, out: Path, jobs: int, kill_after: int | None) -> tuple[float, list[tuple[int, float]]]:
    """Run the command, until it has written some shards if it is to be killed.

    Returns:
        Seconds, and the number of shards with the memory of the process at that time.
    """
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-m", "saywhere.cli", "prelabel", str(source), "--out", str(out), "--threads", "1"]
    command += ["--model", "prelabel_table:Brightness", "--jobs", str(jobs)]
    started, seen = time.perf_counter(), []
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        shards = len(list(out.glob("part-*.parquet")))
        if used := memory(process):
            seen.append((shards, used))
        if kill_after is not None and shards >= kill_after:
            process.kill()
        time.sleep(0.25)
    return time.perf_counter() - started, seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        source, out = Path(place) / "table.parquet", Path(place) / "out"
        write_table(source, options.rows)
        print(f"{options.rows:,} rows, {source.stat().st_size / 1e6:.0f} MB, {options.jobs} processes")
        half = options.rows // 2000
        killed, first = run(source, out, options.jobs, half)
        before = sum(parquet.read_metadata(path).num_rows for path in out.glob("part-*.parquet"))
        rest, second = run(source, out, options.jobs, None)
        ids = [
            name
            for path in out.glob("part-*.parquet")
            for name in parquet.read_table(path, columns=["id"])["id"].to_pylist()
        ]
        print(f"killed after {before:,} rows and {killed:.0f} s; the rest took {rest:.0f} s")
        for name, seen in (("first run", first), ("after the restart", second)):
            early = max(used for shards, used in seen if shards <= min(s for s, _ in seen) + 2)
            print(f"memory, {name}: {early:.0f} MB at its third shard, {max(used for _, used in seen):.0f} MB at most")
        print(f"rows in the output: {len(ids):,}, of these twice: {len(ids) - len(set(ids)):,}")
        return int(len(ids) != options.rows or len(set(ids)) != options.rows)


if __name__ == "__main__":
    sys.exit(main())
