"""Git sync: each new commit of a branch becomes a saved release, with plans for it; makes nothing live.

A commit whose message has SKIP_MARK was made by Sizewise, and is no release of its own: that ends loops.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest, SizewiseError
from sizewise.flows.language.yaml_source import YamlError, parse_yaml
from sizewise.jobs.periodic_tasks import PeriodicTask
from sizewise.principal import Principal
from sizewise.releases.folder_release import FILE_OPTIONS, build_release
from sizewise.releases.git_mirror import COMMIT, GitMirror
from sizewise.releases.git_remote import check_egress
from sizewise.releases.manifest import Release
from sizewise.releases.release_store import ReleaseStore
from sizewise.settings.git import git_branch
from sizewise.settings.load import Settings, resolve_secret
from sizewise.settings.toml_reader import parse_toml

SKIP_MARK = "[SIZEWISE-COMMIT]"
SHORT = 12


class GitStatus(Struct, frozen=True):
    """`checked`: unix ms of the last look; 0: none yet. `error`: of the last look; empty: it succeeded. `release`: that
    the commit became; empty: none. `plans`: ids of those that were made of it.
    """

    url: str
    branch: str
    commit: str = ""
    release: str = ""
    checked: int = 0
    error: str = ""
    plans: tuple[str, ...] = ()


PlanCommit = Callable[[Principal, str], Awaitable[tuple[str, ...]]]
"""Of who saved a release, and its hash: the ids of the plans that it made."""


class GitSync:
    """One per process; the leader looks."""

    def __init__(
        self,
        settings: Settings,
        mirror: GitMirror,
        store: ReleaseStore,
        *,
        principal: Callable[[], Principal],
        plan: PlanCommit,
    ) -> None:
        """`principal`: who saves; its project gets the releases."""
        self._settings, self._git = settings, settings.git
        self._store, self._principal, self._plan = store, principal, plan
        self._mirror = mirror
        self._soon: asyncio.Task[None] | None = None
        self._refused: SizewiseError | None = None  # of the commit, which is not tried again
        self.status = GitStatus(self._git.url, self._git.branch)

    def periodic_tasks(self) -> list[PeriodicTask]:
        if not self._git.url:
            return []
        return [PeriodicTask("git sync", self._git.poll_s, self._look, at_once=True, leader_only=True)]

    async def _look(self) -> None:
        await self.sync()

    def look_soon(self) -> None:
        """Looks in the background, at most once more than is in progress."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().create_task(self._look_once())

    async def _look_once(self) -> None:
        async with self._mirror.alone():
            self._soon = None  # what comes from now on may be of a later commit
        with suppress(SizewiseError):  # it is in the status, and the log has it from the next look
            await self.sync()

    async def release_of(self, asked: str) -> GitStatus:
        """Of another branch, or of a commit by its whole id: saved, neither planned nor followed. Raises as `sync`."""
        self._require_repository()
        if not COMMIT.fullmatch(asked):
            try:
                git_branch(asked)
            except ValueError as error:
                raise BadRequest(f"{error}, nor the whole id of a commit", "git rev-parse HEAD shows one") from error
        async with self._mirror.alone():
            check_egress(self._settings)
            commit = await self._mirror.fetch(resolve_secret(self._git.token), asked)
            saved = await self._save(commit)
        return GitStatus(url=self._git.url, branch=asked, commit=commit, release=saved, checked=_now())

    def _require_repository(self) -> None:
        if not self._git.url:
            raise BadRequest("there is no repository to look at", 'set it: url = "https://..." in [git]')

    async def sync(self) -> GitStatus:
        """Raises BadRequest for a commit that is refused, EgressDenied, ExternalFailure."""
        self._require_repository()
        async with self._mirror.alone():
            try:
                await self._sync()
            except SizewiseError as error:
                self.status = msgspec.structs.replace(self.status, checked=_now(), error=error.message)
                raise
            self.status = msgspec.structs.replace(self.status, checked=_now(), error="")
            return self.status

    async def _sync(self) -> None:
        check_egress(self._settings)
        commit = await self._mirror.fetch(resolve_secret(self._git.token))
        if commit == self.status.commit:
            if self._refused is not None:
                raise self._refused
            return
        self._refused = None
        self.status = msgspec.structs.replace(self.status, commit=commit, release="", plans=())
        if SKIP_MARK in await self._mirror.message(commit):
            return
        try:
            hash = await self._save(commit)
        except BadRequest as error:
            self._refused = error
            raise
        plans = await self._plan(self._committer(commit), hash)
        self.status = msgspec.structs.replace(self.status, release=hash, plans=plans)

    def _committer(self, commit: str) -> Principal:
        return msgspec.structs.replace(self._principal(), key_id=f"git:{commit[:SHORT]}", user_id="")

    async def _save(self, commit: str) -> str:
        """The hash of its release."""
        release = await self._build(commit)
        saved, _ = await self._store.save(self._committer(commit), release)
        return saved.manifest.hash

    async def _build(self, commit: str) -> Release:
        with TemporaryDirectory(prefix="commit-", dir=self._mirror.folder) as made:
            folder = Path(made)
            await self._mirror.write_out(commit, folder)
            return await asyncio.to_thread(_build, folder)


def _build(folder: Path) -> Release:
    """Raises BadRequest."""
    file = folder / "sizewise.toml"
    for path in _named_files(file, folder):
        if path.is_absolute() or path.parts[:1] == ("~",) or ".." in path.parts:
            raise BadRequest(f"the commit is refused: it names {str(path)[:100]!r}", "name files inside its folder")
    own = Settings(config_file=file if file.is_file() else None, home=folder)
    try:
        return build_release(own)
    except SizewiseError as error:
        raise BadRequest(error.message.replace(f"{folder}/", ""), error.hint) from None


def _named_files(file: Path, folder: Path) -> Iterator[PurePosixPath]:
    """All that settings and evals of the commit name as a file of their own."""
    if file.is_file():
        yield from _named_in(parse_toml(file))
    for each in sorted((folder / "evals").glob("*.y*ml")):
        try:
            data = parse_yaml(each.read_text("utf-8", "replace")).data
        except YamlError:  # the build says so, with its line
            continue
        if isinstance(data, dict) and isinstance(data.get("data"), str):
            yield PurePosixPath(data["data"])


def _named_in(table: Mapping[str, Any]) -> Iterator[PurePosixPath]:
    for key, value in table.items():
        if key in (*FILE_OPTIONS, "predictor") and isinstance(value, str) and value:
            yield PurePosixPath(value)
        elif isinstance(value, dict):
            yield from _named_in(value)


def _now() -> int:
    return time.time_ns() // 1_000_000
