"""Start the annotator: its address, its token, and a browser."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import uvicorn

from saywhere.annotate.db.database import HIDDEN, Database, beside
from saywhere.annotate.db.store import Store
from saywhere.annotate.inference.learning import BySequence
from saywhere.annotate.inference.proposals import ByName, Proposer
from saywhere.annotate.inference.queue import InferenceQueue
from saywhere.annotate.inference.segmenters import SegmenterCache
from saywhere.annotate.photos import Folder
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.routes import make_app
from saywhere.annotate.web.security import LOOPBACK
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import Runtime
from saywhere.runtime.metadata import set_threads
from saywhere.runtime.registry import find_method

TOKEN = "SAYWHERE_TOKEN"


@dataclass(frozen=True)
class Options:
    """What ``saywhere annotate`` was given."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8765
    database: str | None = None
    model: str | None = None
    labels: tuple[str, ...] = ()
    study: str | None = None
    threads: int = 2
    browser: bool = True


def serve(options: Options, say: Callable[[str], None]) -> None:
    """Serve until interrupted; ``say`` is told the address. Raises SaywhereError when it cannot start."""
    folder = Folder(options.folder)
    token = _token(options.host)
    bound = _bind(options.host, options.port)
    database = Database(options.database or beside(folder.root))
    store = Store(database, folder.root)
    runtime, settings = find_method(options.model, Settings())
    _limit(options.threads)
    proposer: Proposer = ByName()
    if runtime.capabilities.purification_strides:
        proposer = BySequence(runtime, settings, folder.root / HIDDEN / "sequences")
    annotator = Annotator(
        store,
        folder,
        SegmenterCache(runtime, settings, adapted=proposer.adapted),
        InferenceQueue(),
        proposer,
        options.study,
    )
    annotator.desk.later(partial(_warm, runtime, settings))
    annotator.rescan()
    for label in options.labels:
        store.add_label(label)
    total, _ = store.images(limit=1)
    if total == 0:
        say(f"no photographs in {folder.root} yet: put some there and press Rescan in the page")
    address = f"http://{_shown(options.host)}:{bound.getsockname()[1]}/"
    say(f"{total:,} photographs of {folder.root}; kept in {database.shown}")
    say(f"open {address}" + (f"login and give the token {token}" if token else ""))
    if options.browser:
        threading.Timer(0.5, webbrowser.open, (address,)).start()
    # Without a date or its own name, an answer says a little less about the machine.
    config = uvicorn.Config(
        make_app(annotator, token), log_level="warning", server_header=False, timeout_graceful_shutdown=3,
        timeout_keep_alive=30, limit_concurrency=200,
    )  # fmt: skip
    try:
        uvicorn.Server(config).run(sockets=[bound])
    except KeyboardInterrupt:
        say("stopped; everything that was answered is kept")
    finally:
        annotator.desk.close()
        proposer.close()
        database.close()


def _limit(threads: int) -> None:
    """Processor threads of what computes masks; a network that needs no torch does not wait for its import."""
    if "torch" in sys.modules:
        set_threads(threads)
    else:
        cv2.setNumThreads(threads)


def _warm(runtime: Runtime, settings: Settings) -> None:
    """A network's first answer takes long; this one nobody waits for."""
    Segmenter(runtime, settings).set_image(np.zeros((320, 320, 3), np.uint8)).click(160, 160)


def _token(host: str) -> str | None:
    """A server that other machines reach asks for a token; this one's own need none unless it is set."""
    given = os.environ.get(TOKEN)
    if given is not None and len(given) < 16:
        raise SaywhereError(f"{TOKEN} of {len(given)} characters: give at least 16, or none and one is made")
    if given or host in LOOPBACK:
        return given
    return secrets.token_urlsafe(24)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol named, since asyncio sends answers at once (TCP_NODELAY) only over sockets that say it: 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(128)
    except (OSError, OverflowError) as error:
        bound.close()
        raise SaywhereError(f"--host {host} --port {port}: {error}; give another --port, 0 for any") from error
    return bound


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
