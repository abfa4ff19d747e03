"""Finds where wheels lie in the user's own package index; fetches none of them and knows no index by name.

The index is read here, because pip would fetch a whole wheel to say where it lies, wherever an index publishes no
metadata. What cannot be read so (a sign-in, an index that is a folder, a version spelt otherwise) is left to pip.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from sizewise.catalog.pip_config import configured, reported
from sizewise.catalog.resumable_download import opened
from sizewise.catalog.simple_index import ACCEPT, Wheel, fits, offered, plain
from sizewise.errors import ConfigError, Outside, Upstream
from sizewise.http.client import Timeouts
from sizewise.settings.load import Settings

PAGE_MOST = 16 << 20  # bytes; the longest pages of large projects have about a tenth
PATIENCE = Timeouts(connect=10.0, first_byte=30.0, between_bytes=30.0, total=60.0)


async def wheels(requirements: Sequence[str], settings: Settings) -> tuple[Wheel, ...]:
    """The wheel of each requirement (`name==version`), in their order. Outside tells what pip said, and what to do."""
    known = await configured()
    found: list[Wheel] = []
    for requirement in requirements:
        wheel = _at_hand(requirement, known.folders) or await _listed(requirement, known.indexes, settings)
        if wheel is None:
            break  # pip is asked once, for this and all after it
        found.append(wheel)
    rest = requirements[len(found) :]
    return (*found, *(await reported(rest) if rest else ()))


def _at_hand(requirement: str, folders: Sequence[Path]) -> Wheel | None:
    """The wheel in a folder of the user's, which pip too would take before any other."""
    here: Iterator[Path] = (each for folder in folders for each in folder.glob("*.whl") if fits(each.name, requirement))
    return next((Wheel(each.as_uri(), "") for each in here), None)


async def _listed(requirement: str, indexes: Sequence[str], settings: Settings) -> Wheel | None:
    """The wheel by the first index that has it; None where none has, or none can be read."""
    for index in indexes:
        try:
            if wheel := await _asked(
                f"{index.rstrip('/')}/{plain(requirement.partition('==')[0])}/", requirement, settings
            ):
                return wheel
        except (Outside, Upstream, ConfigError, ValueError):
            continue  # not readable for us; pip may know how, and says what is wrong when it does not
    return None


async def _asked(url: str, requirement: str, settings: Settings) -> Wheel | None:
    async with AsyncExitStack() as stack:
        where, response = await opened(url, settings, stack, headers=[("accept", ACCEPT)], timeouts=PATIENCE)
        if response.status != 200:
            return None
        kind = (response.get("content-type") or "").partition(";")[0].strip().lower()
        return offered(await response.read(PAGE_MOST), kind, where, requirement)
