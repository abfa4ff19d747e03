"""The folder flows/ beside sizewise.toml: every NAME.yaml in it, read and checked; what is there is what is live.

A server publishes what changed there, within a second, for the first organisation's default project and as the
administrator of this machine; a file with mistakes changes nothing until it is mended. What was published by other
means under another name stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from sizewise.errors import SizewiseError, UnknownPath
from sizewise.flows.language.diagnostics import Finding
from sizewise.flows.language.yaml_source import BYTES
from sizewise.flows.node import Signature
from sizewise.flows.node_registry import Kinds
from sizewise.flows.validator import Checked, check, of_spec
from sizewise.flows.versions.tables import Published
from sizewise.principal import Caller

log = logging.getLogger("sizewise.flows")

SUFFIXES = (".yaml", ".yml")
LOOK_S = 1.0
MOST = 1_000
"""Files that are read."""


class File(Struct, frozen=True):
    """`name` is the file's, without its ending; a flow's own name must be the same."""

    name: str
    path: Path
    text: str
    checked: Checked

    @property
    def mistakes(self) -> list[Finding]:
        return [each for each in self.checked.findings if each.kind == "mistake"]


def files(folder: Path) -> dict[str, Path]:
    """By name, in their order; what begins with a point is no flow."""
    if not folder.is_dir():
        return {}
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("."))
    return {path.stem: path for path in found[:MOST]}


def read(folder: Path, kinds: Kinds) -> dict[str, File]:
    """All flows of the folder, each checked beside the others that it runs."""
    paths = files(folder)
    made: dict[str, File] = {}
    going: set[str] = set()

    def one(name: str) -> File | None:
        if name not in made and name in paths:
            going.add(name)
            text = _text(paths[name])
            made[name] = _named(File(name, paths[name], text, check(text, kinds, other)))
            going.discard(name)
        return made.get(name)

    def other(name: str) -> Signature | None:
        bare = name.partition("@")[0]
        if bare in going:  # a flow that runs itself: what it gives is not known yet
            spec = check(_text(paths[bare]), kinds, lambda name: None).spec
            return None if spec is None else of_spec(spec)
        file = one(bare)
        if file is None or file.checked.spec is None:
            return None
        return of_spec(file.checked.spec) if file.checked.flow is None else file.checked.flow.signature

    for name in paths:
        one(name)
    return {name: made[name] for name in paths}


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(BYTES + 1).decode("utf-8", "replace")
    except OSError:  # it was removed just now, or is not ours to read
        return ""


def _named(file: File) -> File:
    spec = file.checked.spec
    if spec is None or spec.name in (file.name, ""):
        return file
    wrong = Finding("", 1, 1, f"its name is {spec.name!r} and its file's {file.name!r}", "Give both the same name.")
    return File(file.name, file.path, file.text, Checked(None, (wrong, *file.checked.findings), spec))


class Shelf(Protocol):
    """Where versions are kept, and which of them is live."""

    def live(self, tenant: str, project: str, name: str) -> Published: ...
    async def keep(self, by: Caller, project: str, name: str, version: str, text: bytes) -> bool: ...
    async def publish(self, by: Caller, project: str, name: str, version: str) -> Published: ...
    async def withdraw(self, by: Caller, project: str, name: str) -> None: ...


class Folder:
    """Looked at while the server serves. `limps`: files with mistakes, in words."""

    def __init__(self, path: Path, shelf: Shelf, by: Caller) -> None:
        self._path = path
        self._shelf = shelf
        self._by = by
        self._kinds: Kinds | None = None
        self._seen: Mapping[Path, tuple[int, int]] = {}
        self._ours: set[str] = set()
        self.limps: list[str] = []

    async def tend(self) -> None:
        while True:
            with suppress(SizewiseError):
                await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Publishes what changed since the last look. Raises StoreFailed, VaultLocked."""
        seen = await asyncio.to_thread(_stamps, self._path)
        if seen == self._seen:
            return
        self._kinds = self._kinds or Kinds()
        found = await asyncio.to_thread(partial(read, self._path, self._kinds))
        limps = [f"the flow {name!r} has {_count(file)}" for name, file in found.items() if file.mistakes]
        for said in set(limps) - set(self.limps):
            log.warning("%s; see: sizewise flow check", said)
        self.limps = limps
        by, project = self._by, self._by.project
        for name, file in found.items():
            flow = file.checked.flow
            if flow is None:
                continue
            self._ours.add(name)
            if self._live(name) != flow.version:
                await self._shelf.keep(by, project, name, flow.version, file.text.encode())
                await self._shelf.publish(by, project, name, flow.version)
        for name in self._ours - set(found):
            if self._live(name):
                await self._shelf.withdraw(by, project, name)
            self._ours.discard(name)
        self._seen = seen

    def _live(self, name: str) -> str:
        try:
            return self._shelf.live(self._by.tenant, self._by.project, name).version
        except UnknownPath:
            return ""


def _count(file: File) -> str:
    wrong = file.mistakes
    first = f"line {wrong[0].line}: {wrong[0].message}"
    return f"a mistake ({first})" if len(wrong) == 1 else f"{len(wrong)} mistakes (first, {first})"


def _stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    found: dict[Path, tuple[int, int]] = {}
    for path in files(folder).values():
        with suppress(OSError):
            stat = path.stat()
            found[path] = (stat.st_mtime_ns, stat.st_size)
    return found


def place(config: Path | None, home: Path) -> Path:
    """The folder, for the settings file and the home folder as they are."""
    return (config.parent if config is not None else home) / "flows"
