"""File source for flows: loads, validates and publishes the YAML files of a watched folder.

A server publishes changed files within about a second, to the project of the watcher's principal. A file with errors
changes nothing until it is fixed. Flows that were published by other means under other names are not changed.

A list of the flows that each folder has published outlives the process, so a file that was deleted while no server ran
is withdrawn too. The list is by server: another one with the same database may have other files.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.errors import Conflict, PathNotFound, SizewiseError
from sizewise.flows.call_graph import (
    AgentCalls,
    AgentEdges,
    AgentVertex,
    CallOrder,
    FlowCall,
    ToolPattern,
    certain_edges,
    find_call_errors,
    order_calls,
)
from sizewise.flows.language.diagnostics import Diagnostic
from sizewise.flows.language.yaml_source import MAX_BYTES
from sizewise.flows.node import FlowSignature
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import ValidationResult, parse_flow_bytes, signature_of_spec, validate_parsed
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.principal import Principal

log = logging.getLogger("sizewise.flows")

SUFFIXES = (".yaml", ".yml")
POLL_INTERVAL_S = 1.0
MAX_FILES = 1_000


class FlowFile(Struct, frozen=True):
    """`name` is that of the file without suffix; the flow must have the same name."""

    name: str
    path: Path
    text: str
    validation: ValidationResult

    @property
    def errors(self) -> list[Diagnostic]:
        return [each for each in self.validation.diagnostics if each.kind == "mistake"]


def list_flow_files(folder: Path) -> dict[str, Path]:
    """Name -> path, sorted; files that begin with a dot are ignored, and what is no file, such as a pipe, which would
    never end. Raises OSError.
    """
    return {path.stem: path for path in (folder / each.name for each in _flow_entries(folder))}


def _flow_entries(folder: Path) -> list[os.DirEntry[str]]:
    """Read from the folder alone: a server looks each second."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        found = [each for each in entries if each.name.endswith(SUFFIXES) and not each.name.startswith(".")]
    return sorted(filter(_is_file, found), key=lambda each: each.name)[:MAX_FILES]


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def load_flow_files(
    folder: Path,
    registry: NodeRegistry,
    *,
    agents: Mapping[str, AgentCalls] = {},  # never changed
) -> dict[str, FlowFile]:
    """All flows of the folder, validated together with the flows they call: each is read and compiled once.

    `agents`: those of the settings, whose tools may be flows.
    """
    paths = list_flow_files(folder)
    files = {name: _read_bytes(path) for name, path in paths.items()}
    parsed = {name: parse_flow_bytes(data) for name, data in files.items()}
    calls = {name: each.calls for name, each in parsed.items()}
    tools = {name: name for name in paths.keys() - registry.tools_before_flows}

    def called(call: FlowCall) -> str | None:
        """None for a version that is not the file's."""
        spec = parsed[call.name].spec if call.name in parsed else None
        if spec is None or not spec.version.startswith(call.version):
            return None
        return call.name if call.kind == "subflow" else tools.get(call.name)

    certain = order_calls(paths, lambda name: certain_edges(calls[name], called))
    any_call = AgentEdges(tools, calls.__getitem__, called, agents)
    possible: CallOrder[str | ToolPattern | AgentVertex] = order_calls(paths, any_call)
    made: dict[str, FlowFile] = {}
    depths: dict[str, int] = {}

    def signature(name: str) -> FlowSignature | None:
        bare = name.partition("@")[0]
        compiled = made[bare].validation.flow if bare in made else None
        spec = parsed[bare].spec if bare in parsed else None
        return compiled.signature if compiled is not None else None if spec is None else signature_of_spec(spec)

    for name in certain.order:
        findings = find_call_errors(name, certain, depths, possible)
        validation = validate_parsed(parsed[name], registry, signature, findings)
        made[name] = _check_name(FlowFile(name, paths[name], files[name].decode("utf-8", "replace"), validation))
    return {name: made[name] for name in paths}


def _read_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError:  # just removed, or not readable
        return b""


def _check_name(file: FlowFile) -> FlowFile:
    spec = file.validation.spec
    if spec is None or spec.name in (file.name, ""):
        return file
    wrong = Diagnostic(
        node="",
        line=1,
        column=1,
        message=f"the flow is named {spec.name!r}, but its file {file.name!r}",
        hint="Use the same name for both.",
    )
    found = (wrong, *file.validation.diagnostics)
    return FlowFile(
        file.name, file.path, file.text, msgspec.structs.replace(file.validation, flow=None, diagnostics=found)
    )


class FlowPublisher(Protocol):
    """The store of flow versions."""

    def get_published(self, tenant: str, project: str, name: str) -> PublishedFlow: ...
    async def save(self, principal: Principal, project: str, name: str, version: str, text: bytes) -> bool: ...
    async def publish(self, principal: Principal, project: str, name: str, version: str) -> PublishedFlow: ...
    async def unpublish(self, principal: Principal, project: str, name: str) -> None: ...


class FlowFolderWatcher:
    """Polls the folder while the server runs. `published_file`: the list of what folders have published. `impaired`: a
    message for each file with errors.
    """

    def __init__(self, path: Path, versions: FlowPublisher, principal: Principal, *, published_file: Path) -> None:
        self._path = path
        self._versions = versions
        self._principal = principal
        self._published_file = published_file
        self._registry: NodeRegistry | None = None
        self._file_stats: Mapping[str, tuple[int, int]] = {}
        self._published_names = _read_published(published_file).get(str(path.absolute()), frozenset())
        self._is_first = True
        self._failure = ""
        self.impaired: list[str] = []

    def periodic_tasks(self) -> list[PeriodicTask]:
        return [PeriodicTask("flow files", POLL_INTERVAL_S, self.sync_or_warn)]

    async def sync_or_warn(self) -> None:
        """Like `sync`. Whatever fails is logged once, shown as impaired and tried again later: a folder that cannot be
        read ends neither the server nor the polling.
        """
        sync = asyncio.ensure_future(self.sync())
        try:
            await asyncio.wait([sync])
        finally:
            sync.cancel()
        error = None if sync.cancelled() else sync.exception()
        if error is None or isinstance(error, SizewiseError):
            self.impaired = [each for each in self.impaired if each != self._failure]
            self._failure = ""
            return
        why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        said = f"the flows folder cannot be read: {why}"
        if self._failure != said:
            log.warning("%s", said)
        self._failure, self.impaired, self._file_stats = said, [said], {}

    async def sync(self) -> None:
        """Publishes what changed since the last call. Raises StorageError, EncryptionKeyUnavailable."""
        seen = await asyncio.to_thread(_file_stats, self._path)
        if seen == self._file_stats and not (self._is_first and self._published_names):
            return
        self._registry = self._registry or NodeRegistry()
        found = await asyncio.to_thread(partial(load_flow_files, self._path, self._registry))
        impaired = [f"the flow {name!r} has {_error_summary(file)}" for name, file in found.items() if file.errors]
        for said in set(impaired) - set(self.impaired):
            log.warning("%s; see: sizewise flow check", said)
        self.impaired = impaired
        by, project = self._principal, self._principal.project
        flows = {name: file for name, file in found.items() if file.validation.flow is not None}
        await self._note_published(self._published_names | flows.keys())  # before it is true: a process may be killed
        for name, file in flows.items():
            assert file.validation.flow is not None
            version = file.validation.flow.version
            if self._published_version(name) != version:
                await self._versions.save(by, project, name, version, file.text.encode())
                await self._versions.publish(by, project, name, version)
        for name in self._published_names - found.keys():
            if self._published_version(name):
                await self._versions.unpublish(by, project, name)
        await self._note_published(self._published_names & found.keys())
        self._file_stats, self._is_first = seen, False

    def belongs_to(self, tenant: str, project: str) -> bool:
        return (tenant, project) == (self._principal.tenant, self._principal.project)

    def file_of(self, tenant: str, project: str, name: str) -> Path | None:
        """The flow's file in this folder; None if it has none."""
        if not self.belongs_to(tenant, project):
            return None
        try:
            return list_flow_files(self._path).get(name)
        except OSError:
            return None

    async def load(self) -> dict[str, FlowFile]:
        """All files, with their errors. Raises OSError."""
        self._registry = self._registry or NodeRegistry()
        return await asyncio.to_thread(partial(load_flow_files, self._path, self._registry))

    async def require_replaceable(self, file: Path, expected: str) -> None:
        """Raises Conflict if the file's flow is not `expected`, or the file cannot be written."""
        await asyncio.to_thread(_require_replaceable, file, expected)

    async def replace(self, file: Path, text: str, expected: str) -> None:
        """Writes the file whose flow has the version `expected`. Raises Conflict as `require_replaceable`."""
        await asyncio.to_thread(_replace_file, file, text, expected)

    async def _note_published(self, names: frozenset[str]) -> None:
        if names == self._published_names:
            return
        self._published_names = names
        try:
            await asyncio.to_thread(_write_published, self._published_file, str(self._path.absolute()), names)
        except OSError as error:  # its flows are published all the same
            log.warning("cannot write %s: %s", self._published_file, error.strerror)

    def _published_version(self, name: str) -> str:
        try:
            return self._versions.get_published(self._principal.tenant, self._principal.project, name).version
        except PathNotFound:
            return ""


def _require_replaceable(file: Path, expected: str) -> None:
    spec = parse_flow_bytes(_read_bytes(file)).spec
    if spec is None or spec.version != expected:
        raise Conflict(
            f"the file {file.name!r} was changed meanwhile, and is not what is published",
            "read it with flowFiles, and merge the two",
        )
    whole = file.resolve()
    if not os.access(whole, os.W_OK) or not os.access(whole.parent, os.W_OK):
        raise _not_writable(file, "it is read-only")


def _replace_file(file: Path, text: str, expected: str) -> None:
    _require_replaceable(file, expected)
    try:
        write_file_atomically(file.resolve(), text.encode())
    except OSError as error:
        raise _not_writable(file, error.strerror or type(error).__name__) from error


def _not_writable(file: Path, why: str) -> Conflict:
    hint = "this flow belongs to the folder: copy the difference into your repository (flowDiff)"
    return Conflict(f"the file {file.name!r} cannot be written: {why}", hint)


def _read_published(path: Path) -> dict[str, frozenset[str]]:
    """Folder -> the names it has published; empty if there is no such file, or none that can be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, frozenset[str]])
    except (OSError, msgspec.DecodeError):
        return {}


def _write_published(path: Path, folder: str, names: frozenset[str]) -> None:
    known = {each: sorted(its) for each, its in {**_read_published(path), folder: names}.items() if its}
    write_file_atomically(path, msgspec.json.encode(known))


def _error_summary(file: FlowFile) -> str:
    wrong = file.errors
    first = f"line {wrong[0].line}: {wrong[0].message}"
    return f"an error ({first})" if len(wrong) == 1 else f"{len(wrong)} errors (first: {first})"


def _file_stats(folder: Path) -> dict[str, tuple[int, int]]:
    """By name with its suffix."""
    found: dict[str, tuple[int, int]] = {}
    for entry in _flow_entries(folder):
        with suppress(OSError):
            stat = entry.stat()
            found[entry.name] = (stat.st_mtime_ns, stat.st_size)
    return found


def default_flows_folder(settings_file: Path | None, home: Path) -> Path:
    """`flows` next to the settings file, else in the home folder."""
    return (settings_file.parent if settings_file is not None else home) / "flows"
