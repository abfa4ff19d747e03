"""Asks the user's own package index, through pip, where wheels lie; fetches none and knows no index by name.

pip is asked because it alone knows what the user has configured: index, mirror, find-links, proxies, sign-in.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sizewise.errors import Outside
from sizewise.process import Done, run

ASK_S = 900.0  # seconds; an index that publishes no metadata of its own makes pip read every wheel to answer
PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input")
ASK = ("install", "--dry-run", "--ignore-installed", "--no-deps", "--only-binary", ":all:", "--quiet", "--report", "-")


@dataclass(frozen=True, slots=True)
class Wheel:
    """Where a wheel lies, https://, http:// or file://, and its sha256; "" where the index does not say."""

    url: str
    sha256: str


async def wheels(requirements: Sequence[str]) -> tuple[Wheel, ...]:
    """The wheel of each requirement (`name==version`), in their order. Outside tells what pip said, and what to do."""
    done = await run([sys.executable, "-P", *PIP, *ASK, *requirements], ASK_S)
    if done.code != 0:
        raise _why(done)
    try:
        found = {
            _plain(each["metadata"]["name"]): _wheel(each["download_info"]) for each in json.loads(done.out)["install"]
        }
        return tuple(found[_plain(requirement.partition("==")[0])] for requirement in requirements)
    except (ValueError, KeyError, TypeError) as why:
        raise Outside("pip's report cannot be read", "Upgrade pip: python -m pip install --upgrade pip") from why


def _wheel(found: dict[str, Any]) -> Wheel:
    told = found.get("archive_info", {})
    kind, _, old = told.get("hash", "").partition("=")  # pip before 23.1
    return Wheel(found["url"], told.get("hashes", {}).get("sha256") or (old if kind == "sha256" else ""))


def _plain(name: str) -> str:
    """A package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _why(done: Done) -> Outside:
    said = [line.strip() for line in done.err.splitlines() if line.strip()]
    if any("No module named pip" in line for line in said):
        return Outside(
            "this Python has no pip, which knows your package index",
            "Add it: `python -m ensurepip`, or `uv pip install pip`; or name the file's place: --from URL",
        )
    if any("no such option" in line for line in said):
        return Outside("this pip is too old to report", "Upgrade it: python -m pip install --upgrade pip")
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR:")]
    last = (errors or said or [f"it ended with code {done.code}"])[-1]
    return Outside(
        f"the package index gave no wheel: {last[:300]}",
        "Check `python -m pip config list` and the network; or name the file's place: --from URL",
    )
