"""Installs a lock file and this project into the Python that runs it, with a bar; knows no package by name.

    python requirements/install.py requirements/up.lock

Each file has its hash in the lock, and only wheels are taken: no code of a package runs while it is installed.
Of what pip says only its warnings and errors are shown. Ends with pip's own exit code.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off")
WIDE = 40  # columns of the bar


def main(lock: str) -> int:
    packages = sum(line[:1].isalpha() and "==" in line for line in Path(lock).read_text().splitlines())
    code = _run(("--require-hashes", "--only-binary", ":all:", "-r", lock), packages)
    if code:
        sys.stderr.write("hint: check the network, and `python3 -m pip config list` for the package index you use\n")
    return code or _run(("--quiet", "--no-deps", "--no-build-isolation", "-e", "."), 0)


def _run(arguments: tuple[str, ...], packages: int) -> int:
    """`packages`: how many pip will name, at most; 0 shows no bar."""
    seen = 0
    with subprocess.Popen([*PIP, *arguments], stdout=subprocess.PIPE, text=True) as pip:
        for line in pip.stdout or ():
            if line.startswith(("Collecting ", "Requirement already satisfied: ")):
                seen += 1
                _show(seen, packages, _name(line))
            elif line.startswith("Installing "):
                _show(packages, packages, "unpacking")
    _show(0, 0, "")
    return pip.returncode


def _name(line: str) -> str:
    return line.partition("satisfied: ")[2].partition(" ")[0] or line.split()[1]


def _show(done: int, of: int, what: str) -> None:
    """One line that is written over; 0 of 0 wipes it. Nothing where nobody watches."""
    if not sys.stderr.isatty():
        return
    full = WIDE * min(done, of) // max(1, of)
    text = f"installing {'━' * full}{' ' * (WIDE - full)} {done:3}/{of} {what[:30]}" if of else ""
    sys.stderr.write(f"\r\x1b[K{text}")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
