"""Seconds and memory until there is a first mask: of whole processes, and from a fresh clone to an answered click.

    python benchmarks/start_up.py
    python benchmarks/start_up.py --install    # clones, runs ``make annotate``, clicks; needs playwright and chromium

Processor time and peak memory are those of whole processes, interpreter start included.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
REPEATS = 7
SAMPLE = ROOT / "src" / "saywhere" / "annotate" / "samples" / "chelsea.jpg"


def measure(command: list[str]) -> tuple[float, float, float]:
    """Seconds, processor seconds and peak memory in MB of a command."""
    ask = "import resource, subprocess, sys, time; t = time.perf_counter(); subprocess.run(sys.argv[1:], check=True, "
    ask += "stdout=subprocess.DEVNULL); used = resource.getrusage(resource.RUSAGE_CHILDREN); "
    ask += "print(time.perf_counter() - t, used.ru_utime + used.ru_stime, used.ru_maxrss)"
    # A small process starts the command: a child of this one would count this one's memory as its own.
    printed = subprocess.run([sys.executable, "-c", ask, *command], check=True, capture_output=True, text=True).stdout
    seconds, processor, memory = map(float, printed.split())
    return seconds, processor, memory * (1024 if sys.platform == "linux" else 1) / 1e6


def measure_processes() -> None:
    """Print the figures of some commands."""
    with tempfile.TemporaryDirectory() as folder:
        segment = ["-m", "saywhere.cli", "segment", str(SAMPLE), "--click", "230,140", "--out", f"{folder}/mask.png"]
        for name, arguments in (
            ("import saywhere", ["-c", "import saywhere"]),
            ("saywhere segment --click", segment),
            ("saywhere segment --click --say", [*segment, "--say", "cat"]),
        ):
            runs = [measure([sys.executable, *arguments]) for _ in range(REPEATS)]
            seconds, processor, memory = zip(*runs, strict=True)
            print(
                f"{name:32} {statistics.median(seconds):5.2f} s, processor {statistics.median(processor):5.2f} s "
                f"(most {max(processor):5.2f}), peak {max(memory):4.0f} MB"
            )


def measure_installation() -> None:
    """Clone, ``make annotate``, and click on the first image."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "saywhere"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "SAYWHERE_DATA")}
        started = time.perf_counter()
        server = subprocess.Popen(
            ["make", "annotate", "SAYWHERE_DATA="], cwd=clone, env={**environment, "BROWSER": "true"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        try:
            assert server.stderr is not None
            url = next(match[1] for line in server.stderr if (match := re.search(r"open (http://\S+)", line)))
            print(f"{'make annotate to the page':32} {time.perf_counter() - started:5.1f} s")
            with sync_playwright() as playwright:
                path = shutil.which("chromium") or shutil.which("chromium-browser")
                browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1280, "height": 800})
                page.goto(url)
                page.wait_for_selector(".row img[src]")
                with page.expect_response(lambda response: response.url.endswith("/events")) as answer:
                    box = page.locator("#canvas").bounding_box()
                    assert box is not None
                    page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.55 * box["height"])
                assert answer.value.ok
                print(f"{'make annotate to a first mask':32} {time.perf_counter() - started:5.1f} s")
                browser.close()
            size = subprocess.run(["du", "-sm", str(clone / ".venv")], check=True, capture_output=True, text=True)
            print(f"{'.venv':32} {size.stdout.split()[0]:>5} MB")
        finally:
            os.killpg(server.pid, 15)
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="from a fresh clone to an answered click")
    if parser.parse_args().install:
        measure_installation()
    else:
        measure_processes()


if __name__ == "__main__":
    main()
