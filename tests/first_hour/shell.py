"""One bash for a whole page, as a reader's terminal: exports, folders and the server stay from block to block."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 300.0
"""Of one block."""
PROLOGUE = r"""
set +m
trap '__code=$?; __failed="${__failed:-$BASH_COMMAND: exit code $__code}"' ERR
__stop() {
  [ -n "$__server" ] || return 0
  kill -TERM -- -"$__server" 2>/dev/null; wait "$__server" 2>/dev/null; __server=
  return 0
}
__serve() {  # as a reader's other terminal: returns when it is up, and shows what it said
  __stop; : >"$__log"
  setsid "$@" >"$__log" 2>&1 & __server=$!
  for _ in $(seq 600); do
    grep -q ' is up: ' "$__log" && break
    kill -0 "$__server" 2>/dev/null || { cat "$__log"; wait "$__server"; __server=; return 1; }
    sleep .1
  done
  sleep .1; cat "$__log"
  __new=$(sed -n 's/^ *key  *\(sw-[^ ]*\).*/\1/p' "$__log")
  [ -z "$__new" ] || export SIZEWISE_KEY="$__new"
  export SIZEWISE_URL=$(sed -n 's/.* is up: \([^ ]*\).*/\1/p' "$__log")
}
__running() { [ -n "$__server" ] && kill -0 "$__server" 2>/dev/null; }
sizewise() {
  if [ "$1" = up ]; then __serve sizewise "$@"; return; fi
  if [ "$1 $2" = "models pull" ] && [ -e "$__later/$3" ]; then mv "$__later/$3"/* "$SIZEWISE_CACHE/models/"; fi
  command sizewise "$@"
}
[ -z "$PG_PROGRAMS" ] || PATH="$PG_PROGRAMS:$PATH"
curl() { command curl --fail-with-body -sS "$@"; }
make() { if [ "$1" = up ]; then __serve make "$@"; else command make "$@"; fi; }
"""


@dataclass(frozen=True)
class Printed:
    """`failed`: the first command that did not exit with 0, with its code; ""."""

    text: str
    failed: str


class Shell:
    """`with Shell(folder, env) as shell:` ends the server and the bash. `server_log`: of the last server."""

    def __init__(self, folder: Path, scratch: Path, env: Mapping[str, str]) -> None:
        self.server_log = scratch / "server.log"
        self._scratch = scratch
        self._done, theirs = os.pipe()
        self._bash = subprocess.Popen(
            ["bash", "--norc", "-s"],
            cwd=folder,
            env={**env, "__log": str(self.server_log), "__done": str(theirs)},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            pass_fds=[theirs],
        )
        os.close(theirs)
        self.run(PROLOGUE)

    def __enter__(self) -> Shell:
        return self

    def __exit__(self, *_: object) -> None:
        self.run("__stop")
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(30)
        os.close(self._done)

    def run(self, script: str) -> Printed:
        """Sources it, and returns when its last command has ended. Both streams are in what it printed."""
        source, printed = self._scratch / "block.sh", self._scratch / "printed"
        source.write_text(script)
        assert self._bash.stdin is not None
        self._bash.stdin.write(
            f'__failed=; source {source} >{printed} 2>&1 </dev/null; printf "%s\\0" "$__failed" >&$__done\n'
        )
        self._bash.stdin.flush()
        failed = self._read_end()
        return Printed(printed.read_text(errors="replace"), failed)

    def value(self, name: str) -> str:
        """Of a variable of the shell."""
        return self.run(f'printf %s "${{{name}-}}"').text

    def is_serving(self) -> bool:
        return not self.run("__running").failed

    def serve(self) -> Printed:
        return self.run("sizewise up")

    def _read_end(self) -> str:
        read, end = b"", time.monotonic() + LIMIT_S
        while not read.endswith(b"\0"):
            if not select.select([self._done], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(
                    f"a block took more than {LIMIT_S:.0f} s: {(self._scratch / 'block.sh').read_text()}"
                )
            if not (more := os.read(self._done, 65536)):
                raise RuntimeError("the shell has ended: a block must not exit")
            read += more
        return read[:-1].decode(errors="replace")


def reader_environment(home: Path, cache: Path, **more: str) -> dict[str, str]:
    """Of a reader who has installed Sizewise, and has nothing else of it yet."""
    path = os.pathsep.join(
        [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
    )
    ours = {"PATH": path, "HOME": str(home), "SIZEWISE_CACHE": str(cache), "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
    return {**ours, "TERM": "dumb", "COLUMNS": "200", **more}
