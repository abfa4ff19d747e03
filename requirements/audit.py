"""Asks pip-audit whether what a lock file names has a known hole; a network that does not answer is no failure.

    python requirements/audit.py requirements/up.lock requirements/dev.lock

Ends with 1 where a hole was found, else with 0. Where nobody can be asked, one line says so, and how to get the answer.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

SECONDS = 40.0  # for one lock file, about a hundred short questions
AUDIT = (sys.executable, "-m", "pip_audit", "--disable-pip", "--require-hashes", "--progress-spinner", "off")
AUDIT = (*AUDIT, "--timeout", "5", "--format", "json", "-r")
HOW = "where the network reaches an index that knows of holes, `make check` asks"


def main(locks: Sequence[str]) -> int:
    if importlib.util.find_spec("pip_audit") is None:
        return _say(0, f"audit skipped: pip-audit is not installed (make lock, then make check); {HOW}")
    for lock in locks:
        code, said = verdict(lock, ask((*AUDIT, lock), SECONDS))
        sys.stdout.write(said + "\n")
        if code or said.startswith("audit skipped"):  # who cannot be asked of one cannot be asked of the next
            return code
    return 0


def ask(command: Sequence[str], seconds: float) -> dict[str, Any] | None:
    """What was found; None where nothing came that could be read, or not in time."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds)
        shown = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        return None
    return shown if isinstance(shown, dict) else None


def verdict(lock: str, report: dict[str, Any] | None) -> tuple[int, str]:
    """The exit code, and what to say. An index that knows none of the packages has not been asked: mirrors are such."""
    packages = (report or {}).get("dependencies", [])
    asked = [each for each in packages if "vulns" in each]
    if not asked:
        return 0, f"audit skipped: no index that knows of holes was reached for {lock}; {HOW}"
    holes = [
        f"{each['name']} {each['version']}: {hole['id']}, mended in {', '.join(hole['fix_versions']) or 'none yet'}"
        for each in asked
        for hole in each["vulns"]
    ]
    if holes:
        return 1, "\n".join([f"{lock} names packages with known holes:", *holes])
    left = f", of {len(packages) - len(asked)} others nothing is known" if len(asked) < len(packages) else ""
    return 0, f"{lock}: no known hole in {len(asked)} packages{left}"


def _say(code: int, words: str) -> int:
    sys.stdout.write(words + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
