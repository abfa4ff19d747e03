"""Finds wheels in the user's package indexes; downloads none.

It reads the index itself, because pip downloads a whole wheel to find its URL if the index publishes no metadata. What
it cannot read (a sign-in, an index that is a folder, a version spelled differently) is left to pip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from sizewise.catalog.pip_config import read_pip_config, resolve_wheels
from sizewise.catalog.resumable_download import open_url
from sizewise.catalog.simple_index import ACCEPT, Wheel, find_wheel, matches_requirement, normalize_name
from sizewise.errors import ConfigError, ExternalFailure, UpstreamError
from sizewise.http.client import HttpTimeouts
from sizewise.settings.load import Settings

MAX_PAGE_BYTES = 16 << 20  # about ten times the longest page of large projects
TIMEOUTS = HttpTimeouts(connect=10.0, first_byte=30.0, between_bytes=30.0, total=60.0)


async def find_wheels(requirements: Sequence[str], settings: Settings) -> tuple[Wheel, ...]:
    """The wheel of each requirement (`name==version`), in order. ExternalFailure reports pip's error."""
    known = await read_pip_config()
    found: list[Wheel] = []
    for requirement in requirements:
        wheel = _in_folders(requirement, known.folders) or await _in_indexes(requirement, known.indexes, settings)
        if wheel is None:
            break  # pip is called once, for this and all following ones
        found.append(wheel)
    rest = requirements[len(found) :]
    return (*found, *(await resolve_wheels(rest) if rest else ()))


def _in_folders(requirement: str, folders: Sequence[Path]) -> Wheel | None:
    """A wheel in the user's find-links folders, which pip also prefers."""
    here: Iterator[Path] = (
        each for folder in folders for each in folder.glob("*.whl") if matches_requirement(each.name, requirement)
    )
    return next((Wheel(each.as_uri(), "") for each in here), None)


async def _in_indexes(requirement: str, indexes: Sequence[str], settings: Settings) -> Wheel | None:
    """The wheel from the first index that has it; None if none has it or can be read."""
    for index in indexes:
        try:
            if wheel := await _in_index(
                f"{index.rstrip('/')}/{normalize_name(requirement.partition('==')[0])}/",
                requirement,
                settings,
            ):
                return wheel
        except (ExternalFailure, UpstreamError, ConfigError, ValueError):
            continue  # pip may be able to read it, and reports the error if not
    return None


async def _in_index(url: str, requirement: str, settings: Settings) -> Wheel | None:
    async with AsyncExitStack() as stack:
        where, response = await open_url(url, settings, stack, headers=[("accept", ACCEPT)], timeouts=TIMEOUTS)
        if response.status != 200:
            return None
        kind = (response.header("content-type") or "").partition(";")[0].strip().lower()
        return find_wheel(await response.read(MAX_PAGE_BYTES), kind, where, requirement)
