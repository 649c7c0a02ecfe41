"""Files are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from saywhere.errors import SaywhereError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step: until the new content is on the disk the old file stays.

    Makes missing folders. Raises SaywhereError when the disk refuses.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only the owner may read; results are for whom the folder is for.
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SaywhereError(f"'{path}': cannot be written ({error.strerror or error})") from error
