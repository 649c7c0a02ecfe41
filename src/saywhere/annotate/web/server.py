"""Starts the annotator: address, token, browser."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import sqlite3
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from saywhere.annotate.computed import BrowserNetwork
from saywhere.annotate.db.database import PROJECT_FOLDER, Database, default_database_url
from saywhere.annotate.db.store import Store
from saywhere.annotate.finetuning import in_use_below
from saywhere.annotate.image_folder import ImageFolder
from saywhere.annotate.imports.status import ImportStatus
from saywhere.annotate.inference.learning import SequenceProposer
from saywhere.annotate.inference.proposals import PhraseProposer, Proposer
from saywhere.annotate.inference.queue import InferenceQueue
from saywhere.annotate.inference.segmenters import SegmenterCache
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.app import make_app
from saywhere.annotate.web.connections import BoundedConnection
from saywhere.annotate.web.security import LOOPBACK
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import Runtime
from saywhere.runtime.registry import find_method
from saywhere.runtime.threads import limit_threads, set_threads

MAX_HEADER_BYTES = 128 * 1024  # other servers on the same host may have set many cookies
TOKEN_VARIABLE = "SAYWHERE_TOKEN"
MIN_TOKEN_LENGTH = 16


@dataclass(frozen=True)
class Options:
    """The options of ``saywhere annotate``."""

    folder: Path
    host: str = "127.0.0.1"
    port: int = 8765
    database: str | None = None
    model: str | None = None
    labels: tuple[str, ...] = ()
    study: str | None = None
    threads: int = 2
    browser: bool = True
    imports: tuple[Path, ...] = ()
    import_status: ImportStatus = "todo"
    in_browser: bool = False


def serve(options: Options, report: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        options: what to serve, and where.
        report: called with lines for the person at the terminal, the address among them.

    Raises:
        SaywhereError: the server cannot start.
    """
    folder = ImageFolder(options.folder)
    token = _choose_token(options.host)
    bound = _bind(options.host, options.port)
    database = Database(options.database or default_database_url(folder.root))
    annotator = _make_annotator(options, folder, database, report)
    if options.imports:
        _import(options, annotator, report)
    total, _ = annotator.store.list_images(limit=1)
    if total == 0:
        report(f"no images in {folder.root} yet: put some there and press Rescan in the page")
    address = f"http://{_url_host(options.host)}:{bound.getsockname()[1]}/"
    report(f"{total:,} images of {folder.root}; annotations are in {database.display_name}")
    for note in annotator.store.notes:
        report(f"note: {note}")
    report(f"open {address}" + (f"login and give the token {token}" if token else ""))
    if options.browser:
        threading.Timer(0.5, webbrowser.open, (address,)).start()
    # Without a date or the server's name, a response says a little less about the machine.
    config = uvicorn.Config(
        make_app(annotator, token), log_level="warning", server_header=False, timeout_graceful_shutdown=3,
        timeout_keep_alive=30, http=BoundedConnection, ws="none", h11_max_incomplete_event_size=MAX_HEADER_BYTES,
    )  # fmt: skip
    try:
        with _signals_as_exceptions():
            uvicorn.Server(config).run(sockets=[bound])
    except KeyboardInterrupt:
        report("stopped; everything that was answered is saved")
    finally:
        # First, because whoever stops the server may not wait until what is being learned is finished.
        _checkpoint(database)
        annotator.close()
        database.close()


def _import(options: Options, annotator: Annotator, report: Callable[[str], None]) -> None:
    # The readers need more modules than the server, which starts without them.
    from saywhere.annotate.imports.from_path import import_path

    try:
        for path in options.imports:
            import_path(annotator.store, annotator.folder, path, options.import_status, report)
    except BaseException:
        annotator.close()
        annotator.store.database.close()
        raise


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Have SIGTERM, and SIGHUP unless it is ignored, end the program like Ctrl-C, so that what comes after is done.

    uvicorn closes connections at SIGTERM, and then raises it once more for the handler set here.
    """

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    def terminate(_signal: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # SIGINT too: in a shell's background job it is ignored, uvicorn heeds it all the same.
    handlers = {signal.SIGTERM: interrupt, signal.SIGINT: interrupt}
    hang_up = getattr(signal, "SIGHUP", None)
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        handlers[hang_up] = terminate
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _checkpoint(database: Database) -> None:
    try:
        database.checkpoint()
    except (SaywhereError, SQLAlchemyError, sqlite3.Error) as error:
        logging.getLogger("saywhere").warning("%s", error)


def _make_annotator(
    options: Options, folder: ImageFolder, database: Database, report: Callable[[str], None]
) -> Annotator:
    store = Store(database, folder.root)
    load = partial(_load_network, options.model, folder.root / PROJECT_FOLDER)
    runtime, settings, proposer = load(None)
    accepted = in_use_below(folder.root)
    is_ours = runtime.source is not None and runtime.metadata.get("model") == "saywhere"
    base, used = runtime.source, (runtime, settings, proposer)
    if accepted is not None and is_ours:
        try:
            used = load(accepted)
            report(f"using the fine-tuned weights {accepted}; the page can go back to {base}")
        except SaywhereError as error:
            report(f"note: the fine-tuned weights cannot be used: {error}")
    network = BrowserNetwork.of(used[0]) if options.in_browser else None
    # Pages that compute by themselves would go on with the network that they were given.
    can_tune = is_ours and network is None
    set_threads(options.threads)
    segmenters = SegmenterCache(used[0], used[1], adapted_runtime=used[2].adapted_runtime)
    # Networks of other backends may not be used by several threads at once.
    workers = options.threads if runtime.capabilities.backend == "onnxruntime" else 1
    annotator = Annotator(
        store, folder, segmenters, InferenceQueue(workers), used[2], options.study, network, load,
        base if can_tune else None,
    )  # fmt: skip
    annotator.queue.submit_background(partial(_warm_up, used[0], used[1], workers))
    annotator.rescan()
    for label in options.labels:
        store.add_label(label)
    return annotator


def _load_network(model: str | None, folder: Path, weights: Path | None) -> tuple[Runtime, Settings, Proposer]:
    """The network of ``--model``, or of weights that fine-tuning made, and what proposes clicks with it."""
    runtime, settings = find_method(model if weights is None else str(weights), Settings())
    if not runtime.capabilities.purification_strides:
        return runtime, settings, PhraseProposer()
    # What a sequence learned belongs to the weights.
    sequences = folder / ("sequences" if weights is None else f"sequences-{weights.stem}")
    return runtime, settings, SequenceProposer(runtime, settings, sequences)


def _warm_up(runtime: Runtime, settings: Settings, workers: int) -> None:
    """Compute masks that nobody waits for, because a network's first one takes longer, alone and beside others."""
    for threads in {workers, 1}:
        with limit_threads(threads):
            Segmenter(runtime, settings).set_image(np.zeros((320, 320, 3), np.uint8)).click(160, 160)


def _choose_token(host: str) -> str | None:
    """The token that requests must know: required where other machines reach the server, else only if it is set."""
    given = os.environ.get(TOKEN_VARIABLE)
    if given is not None and len(given) < MIN_TOKEN_LENGTH:
        raise SaywhereError(
            f"{TOKEN_VARIABLE} of {len(given)} characters: give at least {MIN_TOKEN_LENGTH}, or unset it"
        )
    if given or host in LOOPBACK:
        return given
    return secrets.token_urlsafe(24)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sends responses at once (TCP_NODELAY) only over such sockets: 40 ms.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(128)
    except (OSError, OverflowError) as error:
        bound.close()
        raise SaywhereError(f"--host {host} --port {port}: {error}; give another --port, 0 for any") from error
    return bound


def _url_host(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
