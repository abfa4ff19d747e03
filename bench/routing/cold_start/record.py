"""Asks both local models the cold-start questions, by `sizewise route outcomes`; scores nothing.

    python -m bench.routing.cold_start.record           # about half an hour on two cores; continues where it ended

Starts a server with a home of its own. What is answered is kept, also after a crash.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
QUESTIONS, RECORDED = HERE / "questions.jsonl", HERE / "recorded"
SMALL, LARGE = "local/smollm2-135m", "local/qwen2.5-coder-1.5b"
LONGEST = 48  # tokens of an answer


def main() -> None:
    words = ["route", "outcomes", str(QUESTIONS), "--models", f"{SMALL},{LARGE}"]
    with tempfile.TemporaryDirectory(prefix="cold-start-") as home, served(Path(home)) as env:
        asked = [_sizewise(), *words, "--max-tokens", str(LONGEST), "-o", str(RECORDED)]
        subprocess.run(asked, env=env, check=True)


@contextmanager
def served(home: Path) -> Iterator[dict[str, str]]:
    """The environment of a command that asks a new server; it ends with the block."""
    env = os.environ | {"SIZEWISE_HOME": str(home), "SIZEWISE_KEY": f"sk-{secrets.token_hex(24)}"}
    (home / "sizewise.toml").write_text("[server]\ndiscover = false\n[local]\ncontext = 2048\nslots = 1\n")
    for model in (SMALL, LARGE):
        subprocess.run([_sizewise(), "models", "pull", model], env=env, check=True)
    up = [_sizewise(), "up", "--json", "--port", "0", "--home", str(home)]
    process = subprocess.Popen(up, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        assert process.stdout is not None
        if not process.stdout.readline():
            raise SystemExit("`sizewise up` did not start")
        yield env
    finally:
        process.terminate()
        process.wait(60)


def _sizewise() -> str:
    return str(Path(sys.executable).with_name("sizewise"))


if __name__ == "__main__":
    main()
