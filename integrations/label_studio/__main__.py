"""Starts the backend: ``python -m integrations.label_studio --url http://localhost:8080``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from integrations.command import errors_in_one_line
from integrations.label_studio.app import make_app
from integrations.label_studio.backend import Backend
from integrations.label_studio.config import OUTPUTS
from integrations.label_studio.images import ImageSource
from integrations.label_studio.learner import Learner
from saywhere import SaywhereError, load

KEY_VARIABLE, PASSWORD_VARIABLE = "LABEL_STUDIO_API_KEY", "SAYWHERE_BASIC_AUTH"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
STATES = Path("~/.local/share/saywhere/label-studio")


def serve(
    url: Annotated[str | None, typer.Option(help="address of Label Studio, from which images are read")] = None,
    images: Annotated[Path | None, typer.Option(help="folder of the images; looked through first")] = None,
    allow_host: Annotated[list[str] | None, typer.Option(help="further host of images; may be given again")] = None,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="port to listen on")] = 9090,
    model: Annotated[str | None, typer.Option(help="weights; as for saywhere segment")] = None,
    shape: Annotated[str | None, typer.Option(help="brush, polygon or rectangle, where a config has several")] = None,
    tolerance: Annotated[float, typer.Option(help="how far polygons may be from the outline, in pixels", min=0)] = 1.0,
    states: Annotated[Path, typer.Option(help="folder in which what is learned is saved")] = STATES,
    learn: Annotated[bool, typer.Option(help="learn from submitted annotations")] = True,
) -> None:
    """Serve Label Studio's machine learning backend protocol with Saywhere."""
    with errors_in_one_line():
        password = _password(host)
        if shape is not None and shape not in OUTPUTS:
            raise SaywhereError(f"--shape '{shape}': give {', '.join(OUTPUTS)}")
        source = ImageSource(images, url, os.environ.get(KEY_VARIABLE), tuple(allow_host or ()))
        segmenter = load(model)
        learner = Learner(segmenter.runtime, segmenter.settings, states.expanduser(), learn)
    backend = Backend(segmenter, source, learner, shape, tolerance)
    typer.echo(f"{backend.model_version}; add http://{host}:{port} to a project's settings, under Model")
    try:
        uvicorn.run(make_app(backend, password), host=host, port=port, log_level="warning")
    finally:
        learner.close()


def _password(host: str) -> str | None:
    given = os.environ.get(PASSWORD_VARIABLE)
    if given is not None and (":" not in given or len(given) < 10):
        raise SaywhereError(f"{PASSWORD_VARIABLE}: give user:password, at least 10 characters, or unset it")
    if given is None and host not in LOOPBACK:
        raise SaywhereError(f"--host {host}: other machines reach it; set {PASSWORD_VARIABLE} to user:password first")
    return given


if __name__ == "__main__":
    typer.run(serve)
