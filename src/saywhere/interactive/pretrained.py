"""Saving and loading what a Segmenter's network learned, as the Hugging Face hub's libraries do."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.runtime.base import Runtime
from saywhere.runtime.hub import push_to_hub, save_pretrained
from saywhere.runtime.registry import load_by_name


class PretrainedMixin:
    """``from_pretrained``, ``save_pretrained`` and ``push_to_hub`` of a class that is made from a runtime.

    Attributes:
        runtime: the network.
    """

    runtime: Runtime

    def __init__(self, runtime: Runtime, settings: Settings | None = None) -> None:
        self.runtime = runtime

    @classmethod
    def from_pretrained(cls, name: str | Path, device: str | None = None, settings: Settings | None = None) -> Self:
        """A Segmenter with weights of the Hugging Face hub or of a folder; the same as :func:`saywhere.load`.

        Args:
            name: a hub id ``owner/name``, a folder that :meth:`save_pretrained` wrote, or what else
                :func:`saywhere.load` takes.
            device: a torch device; the processor when None.
            settings: how to crop, decode and post-process.

        Raises:
            SaywhereError: as for :func:`saywhere.load`.

        Example:
            >>> import tempfile
            >>> import saywhere
            >>> folder = saywhere.load().save_pretrained(tempfile.mkdtemp())
            >>> saywhere.Segmenter.from_pretrained(folder).settings.size
            320
        """
        return cls(load_by_name(name, device), settings)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the weights as a folder that :func:`saywhere.load` and the Hugging Face hub take, with a model card.

        Args:
            folder: is created if it is not there.

        Returns:
            The folder.

        Raises:
            SaywhereError: the method has no weights file, or the folder cannot be written.
        """
        return save_pretrained(self._weights_file(), folder)

    def push_to_hub(self, repository: str, private: bool = False) -> str:
        """Upload the weights to the Hugging Face hub, with a model card.

        Args:
            repository: ``owner/name``; it is created if it is not there.
            private: whether a new repository is private.

        Returns:
            The address of the commit.

        Raises:
            SaywhereError: the method has no weights file, huggingface-hub is not installed, or the hub refuses.
        """
        return push_to_hub(self._weights_file(), repository, private)

    def _weights_file(self) -> Path:
        if self.runtime.source is None:
            raise SaywhereError(f"method '{self.runtime.name}': has no weights file to save")
        return self.runtime.source
