"""``saywhere annotate`` in processes of its own, which start at once: they are forked from one that has the modules."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import socket
import sys
import tempfile
import time
from pathlib import Path

import httpx

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(
    ["pytest", "hypothesis", "starlette.testclient", "saywhere.cli.app", "saywhere.annotate.web.server"]
)


def free_port() -> int:
    """A port that a server can have again after it was killed: no other program is given it meanwhile."""
    for port in random.Random(os.getpid()).sample(range(20_000, 32_000), 100):  # below those that systems hand out
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


def _run(arguments: list[str], variables: dict[str, str], log: str) -> None:
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    os.environ.update(variables)
    sys.argv = ["saywhere", *arguments]
    from saywhere.cli.main import main

    main()


class Server:
    """``saywhere annotate`` in a process of its own."""

    def __init__(self, folder: Path, *options: str, model: str | None = "annotator:fast", token: str = "") -> None:
        self.folder = folder
        if "--port" not in options:
            options = (*options, "--port", "0")
        if model:
            options = (*options, "--model", model)
        descriptor, self._log = tempfile.mkstemp(suffix=".log")
        os.close(descriptor)
        arguments = ["annotate", str(folder), "--no-browser", *options]
        variables = {"SAYWHERE_TOKEN": token} if token else {}
        self.process = _forks.Process(target=_run, args=(arguments, variables, self._log), daemon=True)
        self.process.start()
        while not (match := re.search(r"open (http://\S+/)", self.output)):
            assert self.process.is_alive(), f"the server did not start: {self.output}"
            time.sleep(0.01)
        self.url = re.sub(r"login$", "", match[1])

    @property
    def output(self) -> str:
        """What it has written to the terminal."""
        return Path(self._log).read_text()

    @property
    def port(self) -> int:
        return int(re.search(r":(\d+)/", self.url)[1])

    def client(self, name: str = "test-client") -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-Saywhere-Client": name}, timeout=120)

    def kill(self) -> None:
        """Without warning: no handler runs."""
        self.process.kill()
        self.process.join()

    def stop(self) -> None:
        self.process.terminate()
        self.process.join(20)
        if self.process.is_alive():
            self.kill()
        Path(self._log).unlink()
