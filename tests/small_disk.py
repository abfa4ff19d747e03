"""A real server whose home is a disk of a few megabytes that can be filled: a tmpfs in a namespace of its own.

Needs Linux, `unshare`, and the right to make a mount namespace (root, or user namespaces). Run as a program, it takes
the arguments of `sizewise`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.running_server import ECHO, Served, serving, until

APART = ("unshare", "--mount", "--map-root-user")
INSIDE = ("nsenter", "--user", "--mount", "--preserve-credentials", "--target")
MOUNT = 'mkdir -p "$0" && mount -t tmpfs -o size=16m,mode=700 none "$0" && exec "$@"'
CUT = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=5).execute('PRAGMA wal_checkpoint(TRUNCATE)')"


def missing() -> str:
    """What this machine lacks, with the way to get it; empty when all is there."""
    if not shutil.which("unshare"):
        return "needs `unshare`: apt install util-linux"
    tried = subprocess.run([*APART, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else "may not mount a file system: run it as root"


@dataclass
class SmallDisk:
    served: Served
    home: Path  # as seen from outside

    def fill(self) -> None:
        """Not a byte is left, nor is one in the database's log, whose room would take a small change."""
        until(self._filled)

    def _filled(self) -> bool:
        pid = self.served.process.pid
        database = Path("/") / (self.home / "sizewise.db").relative_to(f"/proc/{pid}/root")
        subprocess.run([*INSIDE, str(pid), sys.executable, "-c", CUT, str(database)], check=True)
        with (self.home / "ballast").open("wb", buffering=0) as file:
            size = 1 << 20
            while size:
                try:
                    file.write(b"\0" * size)
                except OSError:
                    size //= 2
        if (self.home / "sizewise.db-wal").stat().st_size == 0:
            return True
        self.free()
        return False

    def free(self) -> None:
        (self.home / "ballast").unlink()

    def files(self) -> dict[str, int]:
        """Name -> bytes, without the database and the ballast."""
        found = (path for path in self.home.iterdir() if path.is_file())
        return {p.name: p.stat().st_size for p in found if not p.name.startswith(("sizewise.db", "ballast"))}


@contextmanager
def serving_on_a_small_disk(folder: Path, config: str = ECHO) -> Iterator[SmallDisk]:
    home = folder / "disk"
    with serving(folder, config, "--home", str(home), program=__file__) as served:
        yield SmallDisk(served, Path(f"/proc/{served.process.pid}/root{home}"))


if __name__ == "__main__":
    words = sys.argv[1:]
    home = words[len(words) - 1 - words[::-1].index("--home") + 1]
    os.execvp("unshare", [*APART, "sh", "-c", MOUNT, home, sys.executable, "-m", "sizewise.cli.main", *words])
