"""Old place of :mod:`saywhere.core.images`, for one release."""

from pathlib import Path

from saywhere.core.deprecation import warn_renamed
from saywhere.core.images import list_images, read_header, read_image

__all__ = ["image_size", "list_images", "read_image"]

warn_renamed("saywhere.images", "saywhere.core.images")


def image_size(path: Path) -> tuple[int, int]:
    """Width and height, in this order, which :func:`saywhere.core.images.image_size` gives as an ImageSize."""
    height, width = read_header(path).size
    return width, height
