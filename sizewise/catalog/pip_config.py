"""Reads pip's index configuration and resolves wheels, by running pip as a child process.

pip alone knows what the user has configured: index, mirror, find-links, proxies, sign-in.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sizewise.catalog.simple_index import Wheel, normalize_name
from sizewise.errors import ExternalFailure
from sizewise.process import CompletedProcess, run

CONFIG_TIMEOUT_S = 30.0  # seconds; it only reads its own files
RESOLVE_TIMEOUT_S = (
    900.0  # seconds; an index that publishes no metadata of its own makes pip read every wheel to answer
)
PYTHON = (sys.executable, "-P")  # modules from the installation, never from the folder one happens to stand in
PIP = (*PYTHON, "-m", "pip", "--disable-pip-version-check", "--no-input")
RESOLVE_ARGS = (
    "install",
    "--dry-run",
    "--ignore-installed",
    "--no-deps",
    "--only-binary",
    ":all:",
    "--quiet",
    "--report",
    "-",
)
DEFAULT_INDEX_CODE = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)"
SECTIONS = ("global", "install", ":env:")  # the later goes before the earlier
NO = ("", "0", "n", "no", "f", "false", "off")


@dataclass(frozen=True, slots=True)
class PipConfig:
    """Where pip would look: URLs of indexes, in its order, and folders of wheels."""

    indexes: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()


async def read_pip_config() -> PipConfig:
    """What the user has told pip, or pip's own index; nothing at all where pip does not say."""
    done = await run([*PIP, "config", "list"], CONFIG_TIMEOUT_S)
    told = dict(_options(done.stdout)) if done.exit_code == 0 else {}
    links = (Path(each).expanduser() for each in told.get("find-links", "").split())
    folders = tuple(each.absolute() for each in links if each.is_dir())
    if told.get("no-index", "").lower() not in NO:
        return PipConfig((), folders)
    index = told.get("index-url", "").strip() or await _default_index()
    return PipConfig(tuple(dict.fromkeys(filter(None, (index, *told.get("extra-index-url", "").split())))), folders)


async def resolve_wheels(requirements: Sequence[str]) -> tuple[Wheel, ...]:
    """The wheel of each requirement (`name==version`), in their order. Outside tells what pip said, and what to do.

    Slow where the index publishes no metadata: pip then fetches every wheel, and throws it away.
    """
    done = await run([*PIP, *RESOLVE_ARGS, *requirements], RESOLVE_TIMEOUT_S)
    if done.exit_code != 0:
        raise _pip_failure(done)
    try:
        found = {
            normalize_name(each["metadata"]["name"]): _wheel(each["download_info"])
            for each in json.loads(done.stdout)["install"]
        }
        return tuple(found[normalize_name(requirement.partition("==")[0])] for requirement in requirements)
    except (ValueError, KeyError, TypeError) as why:
        raise ExternalFailure(
            "pip's report cannot be read",
            "Upgrade pip: python -m pip install --upgrade pip",
        ) from why


def _options(listed: str) -> Iterator[tuple[str, str]]:
    """Options and their values as `pip install` takes them, out of lines like `global.index-url='https://...'`."""
    for wanted in SECTIONS:
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            section, _, option = key.partition(".")
            if section == wanted:
                try:
                    yield option, str(ast.literal_eval(value))
                except (ValueError, SyntaxError):
                    continue  # no line of ours


async def _default_index() -> str:
    """The index that pip asks when nobody configured one; "" where it does not say."""
    done = await run([*PYTHON, "-c", DEFAULT_INDEX_CODE], CONFIG_TIMEOUT_S)
    return done.stdout.strip() if done.exit_code == 0 else ""


def _wheel(found: dict[str, Any]) -> Wheel:
    told = found.get("archive_info", {})
    kind, _, old = told.get("hash", "").partition("=")  # pip before 23.1
    return Wheel(found["url"], told.get("hashes", {}).get("sha256") or (old if kind == "sha256" else ""))


def _pip_failure(done: CompletedProcess) -> ExternalFailure:
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if any("No module named pip" in line for line in said):
        return ExternalFailure(
            "this Python has no pip, which knows your package index",
            "Add it: `python -m ensurepip`, or `uv pip install pip`; or name the file's place: --from URL",
        )
    if any("no such option" in line for line in said):
        return ExternalFailure("this pip is too old to report", "Upgrade it: python -m pip install --upgrade pip")
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR:")]
    last = (errors or said or [f"it ended with code {done.exit_code}"])[-1]
    return ExternalFailure(
        f"the package index gave no wheel: {last[:300]}",
        "Check `python -m pip config list` and the network; or name the file's place: --from URL",
    )
