"""The state in a home folder: which files a backup holds, and which it leaves out; reads no content."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

DATABASE, ENGINE_DATABASE = "sizewise.db", "flows.db"
DATABASES = (DATABASE, ENGINE_DATABASE)
KEY = "vault.key"
SETTINGS = "sizewise.toml"
PASSAGES = "passages"
FILES = (*DATABASES, KEY, SETTINGS, "models.toml", "offered-models.json", "published-flows.json", "catalog-update.json")
PROJECT_FOLDERS = ("flows", "prompts", "evals")
"""What people write beside the settings file."""
TUNING, TUNED_FILES = "tuning", ("run.json", "adapter.gguf")
"""Of a tuning run: what it is, and what it made. Its checkpoints and texts are not kept."""
FOLDERS = (PASSAGES, TUNING, *PROJECT_FOLDERS)
STATE: Sequence[str] = (*(f"{name}{end}" for name in DATABASES for end in ("-wal", "-shm")), *FILES, *FOLDERS)
"""All that belongs to the state of a home. A log comes before its database: it must never meet another one."""
TRANSIENT = ("server.lock", "server.json", "admin.token", "local.pem", "models.lock", "lost+found", ".restore-staged")
"""Made anew at each start. The admin token is left out on purpose: a copy of it is a way in."""


def is_state_path(name: str) -> bool:
    """Whether `name`, with forward slashes, is the path of a file of the state: relative, and without `..`."""
    parts = name.split("/")
    if "\\" in name or any(not part.isprintable() or part in ("", ".", "..") for part in parts):
        return False
    return parts[0] in FILES if len(parts) == 1 else parts[0] in FOLDERS


def files_below(home: Path, folder: str) -> Iterator[str]:
    """Regular files below `home/folder`, as paths from `home` with forward slashes, in order; follows no link."""
    for where, folders, names in os.walk(home / folder):
        folders.sort()
        for name in sorted(names):
            path = Path(where, name)
            if is_regular(path):
                yield str(PurePosixPath(path.relative_to(home)))


def is_regular(path: Path) -> bool:
    """Whether it is a file, and not a link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def other_entries(home: Path) -> list[str]:
    """Names in the home that are neither state nor transient, in order."""
    names = os.listdir(home) if home.is_dir() else []
    return sorted(name for name in names if name not in STATE and name not in TRANSIENT)


def state_entries(home: Path) -> list[str]:
    """Names of the state that are there, in order."""
    names = os.listdir(home) if home.is_dir() else []
    return sorted(name for name in names if name in STATE)
