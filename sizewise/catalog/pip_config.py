"""Reads pip's index configuration and resolves wheels, by running pip as a child process.

Only pip knows the user's configuration: index, mirror, find-links, proxies, sign-in. Where the environment has none, as
uv makes them, it is the pip that Python brings for new environments (`ensurepip`).
"""

from __future__ import annotations

import ast
import json
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sizewise.catalog.simple_index import Wheel, normalize_name
from sizewise.errors import ExternalFailure
from sizewise.process import CompletedProcess, run

CONFIG_TIMEOUT_S = 30.0  # seconds; it only reads its own files
RESOLVE_TIMEOUT_S = 900.0  # seconds; without index metadata pip downloads every wheel
PYTHON = (sys.executable, "-P")  # imports from the installation, never from the current folder
PIP_OPTIONS = ("--disable-pip-version-check", "--no-input")
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
SECTIONS = ("global", "install", ":env:")  # later ones take precedence
NO = ("", "0", "n", "no", "f", "false", "off")


@dataclass(frozen=True, slots=True)
class PipConfig:
    """Where pip looks: index URLs, in order, and folders of wheels."""

    indexes: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()


async def read_pip_config() -> PipConfig:
    """The user's pip configuration, or pip's default index; empty if pip reports none."""
    done = await run([*_pip(), "config", "list"], CONFIG_TIMEOUT_S)
    told = dict(_options(done.stdout)) if done.exit_code == 0 else {}
    links = (Path(each).expanduser() for each in told.get("find-links", "").split())
    folders = tuple(each.absolute() for each in links if each.is_dir())
    if told.get("no-index", "").lower() not in NO:
        return PipConfig((), folders)
    index = told.get("index-url", "").strip() or await _default_index()
    return PipConfig(tuple(dict.fromkeys(filter(None, (index, *told.get("extra-index-url", "").split())))), folders)


async def resolve_wheels(requirements: Sequence[str]) -> tuple[Wheel, ...]:
    """The wheel of each requirement (`name==version`), in order. ExternalFailure reports pip's error and the next step.

    Slow if the index publishes no metadata: pip then downloads every wheel and discards it.
    """
    done = await run([*_pip(), *RESOLVE_ARGS, *requirements], RESOLVE_TIMEOUT_S)
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
    """Options of `pip install` and their values, from lines such as `global.index-url='https://...'`."""
    for wanted in SECTIONS:
        for line in listed.splitlines():
            key, _, value = line.partition("=")
            section, _, option = key.partition(".")
            if section == wanted:
                try:
                    yield option, str(ast.literal_eval(value))
                except (ValueError, SyntaxError):
                    continue  # not an option


async def _default_index() -> str:
    """pip's default index; "" if pip does not report it."""
    wheel = _bundled_pip()
    code = f"import sys; sys.path.insert(0, {str(wheel)!r}); {DEFAULT_INDEX_CODE}" if wheel else DEFAULT_INDEX_CODE
    done = await run([*PYTHON, "-c", code], CONFIG_TIMEOUT_S)
    return done.stdout.strip() if done.exit_code == 0 else ""


def _pip() -> tuple[str, ...]:
    wheel = _bundled_pip()
    return (*PYTHON, f"{wheel}/pip", *PIP_OPTIONS) if wheel else (*PYTHON, "-m", "pip", *PIP_OPTIONS)


def _bundled_pip() -> Path | None:
    """The wheel of pip that Python brings; None if the environment has a pip, or Python brings none."""
    if find_spec("pip") is not None:
        return None
    spec, elsewhere = find_spec("ensurepip"), sysconfig.get_config_var("WHEEL_PKG_DIR")
    folders = [Path(spec.origin).parent / "_bundled"] if spec is not None and spec.origin else []
    folders += [Path(elsewhere)] if elsewhere else []
    return next((found for folder in folders for found in sorted(folder.glob("pip-*.whl"))), None)


def _wheel(found: dict[str, Any]) -> Wheel:
    told = found.get("archive_info", {})
    kind, _, old = told.get("hash", "").partition("=")  # pip before 23.1
    return Wheel(found["url"], told.get("hashes", {}).get("sha256") or (old if kind == "sha256" else ""))


def _pip_failure(done: CompletedProcess) -> ExternalFailure:
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if any("No module named pip" in line for line in said):
        return ExternalFailure(
            "this Python has no pip, so its package index is unknown",
            "Install pip: `python -m ensurepip` or `uv pip install pip`; or pass the file's URL: --from URL",
        )
    if any("no such option" in line for line in said):
        return ExternalFailure(
            "this pip is too old to write a report", "Upgrade it: python -m pip install --upgrade pip"
        )
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR:")]
    last = (errors or said or [f"pip ended with code {done.exit_code}"])[-1]
    return ExternalFailure(
        f"the package index returned no wheel: {last[:300]}",
        "Check `python -m pip config list` and the network; or pass the file's URL: --from URL",
    )
