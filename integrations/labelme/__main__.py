"""Starts labelme with our network among its models: ``python -m integrations.labelme FOLDER``, options as for labelme.

SAYWHERE_MODEL names other weights.
"""

from __future__ import annotations

import importlib
import os
import sys

from saywhere import SaywhereError


def main() -> int:
    """Register the network, and run labelme."""
    try:
        from integrations.labelme.lists import extend_lists
        from integrations.labelme.model import register

        register(os.environ.get("SAYWHERE_MODEL"))
        extend_lists()
        labelme = importlib.import_module("labelme.__main__")
    except ImportError as error:
        print(f"error: {' '.join(str(error).split())}; pip install labelme", file=sys.stderr)
        return 2
    except SaywhereError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    labelme.main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
