"""A server of an older commit, taken from git, on the packages of this one: what an upgrade comes from."""

from __future__ import annotations

import atexit
import functools
import io
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
from pathlib import Path

import pytest

from tests.archives import unpack

ROOT = Path(__file__).parents[1]
BESIDE = "7f45dc83"
"""The oldest commit whose servers are tested beside those of this version. b476886a was the first that let a newer one
extend its database, but could pay twice for an idempotency key. With a migration that changes or removes something this
becomes the release that the changelog names for it.
"""
FIRST = "eaaa1717"
"""The oldest commit whose database is taken over: the end of the first work on storage."""


@functools.cache
def older(commit: str) -> dict[str, str]:
    """The environment in which `python -m sizewise.cli.main` is that of `commit`. Skips where git does not have it."""
    found = subprocess.run(
        ["git", "-C", str(ROOT), "archive", commit, "sizewise", "pyproject.toml"], capture_output=True, timeout=60
    )
    if found.returncode:
        pytest.skip("this checkout has no history: git fetch --unshallow")
    folder = Path(tempfile.mkdtemp(prefix=f"sizewise-{commit}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        unpack(archive, folder)
    declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["entry-points"]
    about = folder / "sizewise-0.0.0.dist-info"  # found before the installed one, which is of this version
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sizewise\nVersion: 0.0.0\n")
    lines = [
        f"[{group}]\n" + "".join(f"{name} = {place}\n" for name, place in members.items())
        for group, members in declared.items()
    ]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
