"""Finds wheels in the user's package indexes; downloads none.

The index is read here, because pip would fetch a whole wheel to say where it lies, wherever an index publishes no
metadata. What cannot be read so (a sign-in, an index that is a folder, a version spelt otherwise) is left to pip.
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

MAX_PAGE_BYTES = 16 << 20  # bytes; the longest pages of large projects have about a tenth
TIMEOUTS = HttpTimeouts(connect=10.0, first_byte=30.0, between_bytes=30.0, total=60.0)


async def find_wheels(requirements: Sequence[str], settings: Settings) -> tuple[Wheel, ...]:
    """The wheel of each requirement (`name==version`), in their order. Outside tells what pip said, and what to do."""
    known = await read_pip_config()
    found: list[Wheel] = []
    for requirement in requirements:
        wheel = _in_folders(requirement, known.folders) or await _in_indexes(requirement, known.indexes, settings)
        if wheel is None:
            break  # pip is asked once, for this and all after it
        found.append(wheel)
    rest = requirements[len(found) :]
    return (*found, *(await resolve_wheels(rest) if rest else ()))


def _in_folders(requirement: str, folders: Sequence[Path]) -> Wheel | None:
    """The wheel in a folder of the user's, which pip too would take before any other."""
    here: Iterator[Path] = (
        each for folder in folders for each in folder.glob("*.whl") if matches_requirement(each.name, requirement)
    )
    return next((Wheel(each.as_uri(), "") for each in here), None)


async def _in_indexes(requirement: str, indexes: Sequence[str], settings: Settings) -> Wheel | None:
    """The wheel by the first index that has it; None where none has, or none can be read."""
    for index in indexes:
        try:
            if wheel := await _in_index(
                f"{index.rstrip('/')}/{normalize_name(requirement.partition('==')[0])}/",
                requirement,
                settings,
            ):
                return wheel
        except (ExternalFailure, UpstreamError, ConfigError, ValueError):
            continue  # not readable for us; pip may know how, and says what is wrong when it does not
    return None


async def _in_index(url: str, requirement: str, settings: Settings) -> Wheel | None:
    async with AsyncExitStack() as stack:
        where, response = await open_url(url, settings, stack, headers=[("accept", ACCEPT)], timeouts=TIMEOUTS)
        if response.status != 200:
            return None
        kind = (response.header("content-type") or "").partition(";")[0].strip().lower()
        return find_wheel(await response.read(MAX_PAGE_BYTES), kind, where, requirement)
