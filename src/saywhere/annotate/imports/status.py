"""What images are marked as when objects are imported into them."""

from __future__ import annotations

from typing import Literal

ImportStatus = Literal["todo", "done"]
