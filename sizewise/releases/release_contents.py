"""Contents of a release as they are used: tables of settings, prompts, and published flows; builds no application."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from sizewise.errors import PathNotFound
from sizewise.flows.language.flow_spec import MIN_VERSION_DIGITS
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.versions.published_flow import PublishedFlow
from sizewise.flows.versions.store import VERSION, FlowVersions
from sizewise.prompts.prompt import PromptTemplate, parse_prompt
from sizewise.releases.manifest import Json, Release

T = TypeVar("T")

NAMED = ("policies", "agents", "models")
"""Kinds whose parts are tables of a table of the same name; the part of `routing` and `guardrails` is the table."""


def setting_tables(release: Release, folder: Path) -> Mapping[str, Json]:
    """The tables of settings, as in sizewise.toml. The files that they name are written to `folder`. Raises OSError."""
    tables: dict[str, Json] = {}
    for part in release.parts:
        if part.kind == "certificates":
            (folder / part.version).write_bytes(part.content)
        elif part.kind in NAMED:
            tables.setdefault(part.kind, {})[part.name] = _with_paths(part.content)
        elif part.kind in ("routing", "guardrails"):
            tables[part.name] = _with_paths(part.content)
    return tables


def embedding_models(release: Release) -> Mapping[str, str]:
    """By knowledge base, of those whose embedding model the release names: it answers from their generations."""
    found = {part.name: _with_paths(part.content) for part in release.parts if part.kind == "knowledge"}
    return {name: its["embedding_model"] for name, its in found.items() if its.get("embedding_model")}


def _with_paths(content: bytes) -> Json:
    """A table in which a file is named by its path: before, it is by its hash."""
    return {
        key: value["sha256"] if isinstance(value, dict) and value.keys() == {"sha256"} else value
        for key, value in msgspec.json.decode(content).items()
    }


def prompts_of(release: Release) -> Mapping[str, PromptTemplate]:
    """By id."""
    texts = {part.name: part.content.decode() for part in release.parts if part.kind == "prompts"}
    return {id: parse_prompt(id, text, lambda data: parse_yaml(data).data) for id, text in texts.items()}


class ReleaseFlows:
    """The flows of a release in place of the published ones: a FlowStore that never changes.

    A version that a caller names may be any that is stored.
    """

    generation = 0

    def __init__(self, release: Release, versions: FlowVersions, tenant: str, project: str) -> None:
        self._place = tenant, project
        self._versions = versions
        self._flows = {part.name: part for part in release.parts if part.kind == "flows"}

    def list_published(self, tenant: str = "", project: str = "") -> list[PublishedFlow]:
        mine = tenant in ("", self._place[0]) and project in ("", self._place[1])
        return [self._published(name) for name in sorted(self._flows)] if mine else []

    def get_published(self, tenant: str, project: str, name: str) -> PublishedFlow:
        """Raises PathNotFound."""
        if (tenant, project) != self._place or name not in self._flows:
            raise PathNotFound(
                f"no flow {name[:100]!r} is in the release that answers here",
                "promote a release that has it: sizewise release status",
            )
        return self._published(name)

    def _published(self, name: str) -> PublishedFlow:
        """Its triggers run as who published it; where that is not known, as no one."""
        try:
            known = self._versions.get_published(*self._place, name)
        except PathNotFound:
            tenant, project = self._place
            known = PublishedFlow(tenant=tenant, project=project, name=name, version="", at=0, key="", user="")
        return msgspec.structs.replace(known, version=self._flows[name].version)

    async def resolve_version(self, tenant: str, project: str, name: str, version: str) -> str:
        """Raises PathNotFound, BadRequest."""
        found = self._own_version(tenant, project, name, version)
        return found or await self._versions.resolve_version(tenant, project, name, version)

    def resolve_version_blocking(self, tenant: str, project: str, name: str, version: str) -> str:
        found = self._own_version(tenant, project, name, version)
        return found or self._versions.resolve_version_blocking(tenant, project, name, version)

    def _own_version(self, tenant: str, project: str, name: str, version: str) -> str:
        """Empty: it is not the one of the release."""
        live = self.get_published(tenant, project, name).version
        if not version or VERSION.match(version):
            return version or live
        return live if len(version) >= MIN_VERSION_DIGITS and live.startswith(version) else ""

    def read_source_blocking(self, tenant: str, project: str, name: str, version: str) -> bytes:
        part = self._flows.get(name) if (tenant, project) == self._place else None
        if part is not None and part.version == version:
            return part.content
        return self._versions.read_source_blocking(tenant, project, name, version)

    async def run_in_thread(self, work: Callable[[], T]) -> T:
        return await self._versions.run_in_thread(work)
