"""Functions for ``cvat-cli``, a file each: ``detector.py`` and ``interactor.py``. See docs/integrations.md."""
