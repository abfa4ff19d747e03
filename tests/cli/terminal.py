"""The real `sizewise` in its own process, for the tests of this room: words in, what it wrote and how it ended out."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.forked import PYTHONPATH, command, run
from tests.running_server import environment


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def hint(self) -> str:
        return self.err.splitlines()[-1]


def sizewise(*words: str, home: Path | None = None, stdin: str = "", **environ: str) -> Done:
    """`home` is SIZEWISE_HOME, and the folder one stands in, so that no sizewise.toml is found by chance."""
    env = environment(**({"SIZEWISE_HOME": str(home)} if home else {}), **environ)
    env["PYTHONPATH"] = PYTHONPATH
    done = run(command(*words), env=env, cwd=home or "/", stdin=stdin)
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def watched(*words: str, home: Path, **environ: str) -> str:
    """What a person at a terminal sees of its stdout."""
    ours, theirs = pty.openpty()
    env = environment(**{"SIZEWISE_HOME": str(home), "TERM": "xterm", "COLUMNS": "100", **environ})
    env["PYTHONPATH"] = PYTHONPATH
    with subprocess.Popen(
        command(*words),
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        cwd=home,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while block := os.read(ours, 4_096):
                shown += block
        except OSError:  # Linux: the other end was closed
            pass
        finally:
            os.close(ours)
        process.wait(60)
    return shown.decode()


ERASE = re.compile(r"[^\n\r]*\r\x1b\[K")


class Screen:
    """The stderr of a command that runs, at a terminal; its stdout is a pipe."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self._process, self._terminal = process, terminal
        self.shown = ""

    def until(self, words: str) -> None:
        """Reads until `words` were shown. Fails if the command ends before."""
        while words not in self.shown:
            assert self._read(), f"{words!r} was never shown, but: {self.shown!r}"

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout, and what is left on the screen after all that was erased."""
        while self._read():
            pass
        assert self._process.stdout is not None
        out = self._process.stdout.read().decode()
        return self._process.wait(60), out, ERASE.sub("", self.shown)

    def _read(self) -> bool:
        try:
            block = os.read(self._terminal, 4_096)
        except OSError:  # Linux: the other end was closed
            block = b""
        self.shown += block.decode()
        return bool(block)


@contextmanager
def screen(*words: str, home: Path, interpreter: Sequence[str] = (), **environ: str) -> Iterator[Screen]:
    """`interpreter`: options of Python itself."""
    ours, theirs = pty.openpty()
    python, *program = command(*words)
    env = environment(**{"SIZEWISE_HOME": str(home), "TERM": "xterm", **environ})
    env["PYTHONPATH"] = PYTHONPATH
    with subprocess.Popen(
        [python, *interpreter, *program],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=home,
    ) as process:
        os.close(theirs)
        try:
            yield Screen(process, ours)
        finally:
            os.close(ours)
            process.kill()
