"""Old place of :mod:`saywhere.core.images`, for one release."""

from saywhere.core.deprecation import warn_renamed
from saywhere.core.images import image_size, list_images, read_image

__all__ = ["image_size", "list_images", "read_image"]

warn_renamed("saywhere.images", "saywhere.core.images")
