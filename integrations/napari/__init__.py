"""Layers of napari for segmenting an image: ``python -m integrations.napari IMAGE``. See docs/integrations.md."""
