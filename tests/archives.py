"""Unpacks tar archives on each supported Python."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any


def unpack(archive: tarfile.TarFile, folder: str | Path) -> None:
    """Refuses members outside `folder` where Python can (3.11.4 and later); Debian 12's 3.11.2 cannot."""
    opened: Any = archive
    opened.extraction_filter = getattr(tarfile, "data_filter", None)
    archive.extractall(folder)
