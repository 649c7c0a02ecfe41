"""How fast the page that annotates by itself is in Chromium: encoding, first click, further clicks; size of models.

    python benchmarks/browser_page.py
    python benchmarks/browser_page.py --weights large
    python benchmarks/browser_page.py --precision fp16 --backend webgpu --runtime onnxruntime-web-1.30.0.tgz

Run it on a quiet machine. The page computes on WebAssembly with as many threads as it takes by itself (at most four),
which are printed. Times are measured in the page, from the call of its worker to the answer with the mask.
"""

from __future__ import annotations

import argparse
import base64
import functools
import os
import shutil
import tempfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from saywhere.annotate.sample_images import SAMPLES
from saywhere.browser.write import write_page

REPEATS, WARM_UP = 10, 3
# On the cat, and around it.
CLICKS = [(230, 140, True), (60, 60, False), (250, 260, True), (30, 200, False)]
MEASURE = """async ([data, clicks, repeats, backend]) => {
  const { Client } = await import('./inference/client.js'), client = new Client(), rows = [];
  const loaded = await client.call('load', { backend, base: location.href });
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const timed = async (name, method, values, transfer) => {
    const started = performance.now();
    await client.call(method, values, transfer);
    rows.push([name, performance.now() - started]);
  };
  for (let i = 0; i < repeats; i++) {
    const bitmap = await createImageBitmap(new Blob([bytes]));
    await timed('encode', 'open', { bitmap }, [bitmap]);
    const actions = [];
    for (const [j, [x, y, positive]] of clicks.entries()) {
      actions.push({ kind: 'click', x, y, positive, radius: null });
      await client.call('times');
      const started = performance.now();
      await client.call('segment', { actions });
      const ms = performance.now() - started, { encodings } = await client.call('times');
      rows.push([j === 0 ? 'first click' : encodings ? 'click that moves the crop' : 'click', ms]);
    }
  }
  return { ...loaded, rows };
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def measure(folder: Path, backend: str) -> dict[str, Any]:
    """What the page answers when it is opened from a plain static server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    photo = base64.b64encode((SAMPLES / "chelsea.jpg").read_bytes()).decode()
    names = ("chromium-headless-shell", "chromium", "chromium-browser")
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    flags = ["--no-sandbox", *(["--enable-unsafe-webgpu"] if backend == "webgpu" else ["--disable-gpu"])]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_selector("body[data-ready=yes]:not([data-busy=yes])")
        result: dict[str, Any] = page.evaluate(MEASURE, [photo, CLICKS, REPEATS + WARM_UP, backend])
        browser.close()
    server.shutdown()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="small", help="a preset, or a weights file of our network")
    parser.add_argument("--precision", default="int8", choices=("int8", "fp16", "fp32"))
    parser.add_argument("--backend", default="wasm", choices=("wasm", "webgpu"))
    parser.add_argument("--runtime", type=Path, help="onnxruntime-web, as for saywhere page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = write_page(
            Path(folder), options.weights, options.precision, options.runtime, options.backend == "webgpu"
        )
        size = sum(file.stat().st_size for file in files if file.suffix == ".onnx") / 1e6
        result = measure(Path(folder), options.backend)
    print(f"models {size:.2f} MB, {options.precision}; {result['backend']}, {result['threads']} threads")
    for name in dict.fromkeys(name for name, _ in result["rows"]):
        values = [ms for each, ms in result["rows"] if each == name]
        kept = values[len(values) * WARM_UP // (REPEATS + WARM_UP) :]
        median, late = np.percentile(kept, [50, 95])
        print(f"{name:26} {median:6.1f} ms median, {late:6.1f} ms p95, {len(kept)} times")


if __name__ == "__main__":
    main()
