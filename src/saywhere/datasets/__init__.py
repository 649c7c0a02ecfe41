"""The former place of :mod:`saywhere.data.datasets`; it goes with the next release."""

import warnings

from saywhere.data.datasets import *  # noqa: F403

warnings.warn(
    "saywhere.datasets is deprecated and will be removed in the next release; use saywhere.data.datasets",
    DeprecationWarning,
    stacklevel=2,
)
