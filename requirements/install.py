"""Installs a lock file and this project into the Python that runs it, with a bar; knows no package by name.

    python requirements/install.py requirements/up.lock [--no-compile]

Each file has its hash in the lock, and only wheels are taken: no code of a package runs while it is installed.
Then what never runs is taken away: what unused.txt lists, and the symbols that only a debugger reads. With --no-compile
bytecode is made when a module is first imported: less to keep, where most is never imported.
Of what pip says only its warnings and errors are shown. Ends with pip's own exit code.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import sysconfig
from pathlib import Path

UNUSED = Path(__file__).with_name("unused.txt")
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--progress-bar", "off")
WIDE = 40  # columns of the bar
LEAST = 64 * 1024  # bytes; less is left in a library


def main(lock: str, *options: str) -> int:
    """`options` are pip's."""
    packages = sum(line[:1].isalpha() and "==" in line for line in Path(lock).read_text().splitlines())
    code = _run(("--require-hashes", "--only-binary", ":all:", *options, "-r", lock), packages)
    if code:
        sys.stderr.write("hint: check the network, and `python3 -m pip config list` for the package index you use\n")
    code = code or _run(("--quiet", "--no-deps", "--no-build-isolation", *options, "-e", "."), 0)
    if not code:
        slim(Path(sysconfig.get_path("purelib")))
    return code


def slim(packages: Path) -> None:
    """Takes away what `unused.txt` lists below the folder, and symbols; what is gone already is no trouble."""
    for line in UNUSED.read_text().splitlines():
        pattern = line.partition("#")[0].strip()
        for path in list(packages.glob(pattern)) if pattern else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in packages.rglob("*.so*"):
        if path.is_file() and not path.is_symlink():
            _cut(path)


def _cut(library: Path) -> None:
    """Ends a library where what is loaded of it ends. Only of 64-bit ELF files, which say where that is (elf(5)): their
    segments are loaded, and the sections behind them are for linkers and debuggers."""
    with library.open("rb") as file:
        head = file.read(64)
        if head[:6] != b"\x7fELF\x02\x01":  # 64 bits, little-endian
            return
        table, _, _, _, size, count = struct.unpack_from("<QQIHHH", head, 32)
        file.seek(table)
        segments = [struct.unpack_from("<IIQQQQ", file.read(size)) for _ in range(count)]
        end = max(table + size * count, *(offset + length for _, _, offset, _, _, length in segments))
        if library.stat().st_size - end < LEAST:
            return
        file.seek(0)
        kept = bytearray(file.read(end))
    kept[40:48] = bytes(8)  # where the table of sections was,
    kept[60:64] = bytes(4)  # how many there were, and which had their names
    short = library.with_name(f".{library.name}.short")
    short.write_bytes(kept)
    shutil.copymode(library, short)
    os.replace(short, library)  # who runs the old one keeps it


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
    sys.exit(main(*sys.argv[1:]))
