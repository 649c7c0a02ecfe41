"""Starts labelme with our network among its models: ``python -m integrations.labelme FOLDER``, options as for labelme.

SAYWHERE_MODEL names other weights.
"""

from __future__ import annotations

import importlib
import os

from integrations.command import errors_in_one_line


def main() -> None:
    """Register the network, and run labelme."""
    with errors_in_one_line("labelme"):
        from integrations.labelme.lists import extend_lists
        from integrations.labelme.model import register

        register(os.environ.get("SAYWHERE_MODEL"))
        extend_lists()
        labelme = importlib.import_module("labelme.__main__")
    labelme.main()


if __name__ == "__main__":
    main()
