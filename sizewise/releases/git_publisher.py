"""Publishing to git: a flow becomes a commit on a branch of its publisher's, pushed by the mirror; makes nothing live.

The branch is named by who publishes and what. It begins at the last commit of the followed branch, which is never
written to, and each publication adds a commit, until the followed branch has the same file; then it begins anew. A push
is refused where the branch is not what was read just before. Nothing is checked out: no hook, filter or link can act.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from sizewise.audit_log.tables import append_event
from sizewise.auth.api_keys import audit_event
from sizewise.errors import BadRequest, Conflict, ExternalFailure, SizewiseError
from sizewise.flows.validator import parse_flow_text
from sizewise.flows.versions.tables import require_version
from sizewise.principal import Principal
from sizewise.releases.git_mirror import HEADS, GitMirror, reason
from sizewise.releases.git_remote import check_egress
from sizewise.releases.pull_requests import Change, PullRequests
from sizewise.settings.load import Settings, resolve_secret
from sizewise.storage.database import AsyncTransactionRunner

REGULAR = ("100644", "100755")
SUFFIXES = (".yaml", ".yml")
MAX_FILE_BYTES = 4_000_000
COMMITTER = ("Sizewise", "sizewise@localhost")
NAME_CHARS = 30


class FlowPublication(Struct, frozen=True):
    """A flow that is to become a commit. `expected`: the version that it replaces, empty for a new one; None: any."""

    name: str
    text: str
    expected: str | None
    note: str = ""


class PublishedCommit(Struct, frozen=True):
    """`pull_request`: its URL; empty: none. `problem`: why there is none, if one was to be opened."""

    repository: str
    branch: str
    commit: str
    pull_request: str = ""
    problem: str = ""


class _GitFile(Struct, frozen=True):
    """A file of a commit. `blob`: its object; empty: the commit has no such file."""

    path: str
    blob: str = ""
    text: str = ""

    @property
    def version(self) -> str:
        spec = parse_flow_text(self.text).spec if self.blob else None
        return "" if spec is None else spec.version


class GitPublisher:
    """One per process, on the mirror of git sync."""

    def __init__(
        self, settings: Settings, mirror: GitMirror, owner: Callable[[], Principal], write: AsyncTransactionRunner
    ) -> None:
        """`owner`: whose project the repository is. `write`: the audit log's."""
        self._settings, self._git, self._mirror, self._owner = settings, settings.git, mirror, owner
        self._write = write
        self._pull_requests = PullRequests(settings)

    def takes(self, tenant: str, project: str) -> bool:
        """Whether what is published in a project becomes a commit."""
        if not self._git.url:
            return False
        owner = self._owner()
        return (tenant, project) == (owner.tenant, owner.project)

    async def publish(self, principal: Principal, flow: FlowPublication) -> PublishedCommit:
        """The same text again is the same commit. Raises Conflict, BadRequest, EgressDenied, ExternalFailure."""
        token = resolve_secret(self._git.token)
        check_egress(self._settings)
        branch = _branch_of(principal, flow.name)
        async with self._mirror.alone():
            base = await self._mirror.fetch(token)
            in_base = await self._file(base, flow.name)
            before, on_branch = await self._head(branch, flow.name, token)
            is_merged = before and on_branch.blob == in_base.blob
            parent, file = (base, in_base) if is_merged or not before else (before, on_branch)
            self._require_known(flow, in_base, file)
            if file.text == flow.text and file.blob:
                if parent == base:
                    raise Conflict(
                        f"the branch {self._git.branch!r} has this text already",
                        "sizewise release sync makes a release of it",
                    )
                commit = parent
            else:
                commit = await self._commit(principal, flow, parent, file.path)
                await self._push(commit, branch, before, token)
                await self._log(principal, flow, branch, commit)
        made = PublishedCommit(self._git.url, branch, commit)
        change = Change(_title(flow), flow.note, branch, self._git.branch)
        return await self._with_pull_request(made, change, token)

    def _require_known(self, flow: FlowPublication, in_base: _GitFile, file: _GitFile) -> None:
        """What is replaced is what the publisher began with: of the followed branch, or of his own."""
        if flow.expected is not None and flow.expected != file.version:
            require_version(f"{flow.name} of the branch {self._git.branch}", in_base.version, flow.expected)

    async def _head(self, branch: str, name: str, token: str) -> tuple[str, _GitFile]:
        """The branch's last commit at the server, empty if there is no such branch, and its file."""
        words = ("ls-remote", "--heads", "--end-of-options", self._git.url, f"{HEADS}{branch}")
        listed = await self._mirror.git(*words, token=token)
        if listed.exit_code:
            raise ExternalFailure(f"git cannot list branches: {reason(listed.stderr)}", "check [git]")
        if not listed.stdout.strip():
            return "", _GitFile(self._path(name))
        commit = await self._mirror.fetch(token, branch)
        return commit, await self._file(commit, name)

    def _path(self, name: str, suffix: str = SUFFIXES[0]) -> str:
        return "/".join(each for each in (self._git.path, "flows", f"{name}{suffix}") if each)

    async def _file(self, commit: str, name: str) -> _GitFile:
        """Raises BadRequest for what is no regular file."""
        for path in (self._path(name, suffix) for suffix in SUFFIXES):
            words = ("ls-tree", "-z", "--full-tree", "--end-of-options", commit, "--", path)
            about, _, found = (await self._mirror.read(*words)).rstrip("\0").partition("\t")
            if found != path:
                continue
            mode, _, blob = about.split()
            if mode not in REGULAR:
                raise BadRequest(f"{path!r} is no regular file in the repository", "put the file itself there")
            return _GitFile(path, blob, await self._mirror.read("cat-file", "blob", blob, limit=MAX_FILE_BYTES))
        return _GitFile(self._path(name))

    async def _commit(self, principal: Principal, flow: FlowPublication, parent: str, path: str) -> str:
        with TemporaryDirectory(prefix="publish-", dir=self._mirror.folder) as folder:
            text, message, index = (f"{folder}/{name}" for name in ("text", "message", "index"))
            said = "\n\n".join(each for each in (_title(flow), flow.note) if each)
            for path_of, content in ((text, flow.text), (message, f"{said}\n")):
                await asyncio.to_thread(Path(path_of).write_bytes, content.encode())
            more = {"GIT_INDEX_FILE": index, **_people(principal)}
            blob = await self._done("hash-object", "-w", "--no-filters", "--", text)
            await self._done("read-tree", parent, more=more)
            await self._done("update-index", "--add", "--cacheinfo", f"{REGULAR[0]},{blob},{path}", more=more)
            tree = await self._done("write-tree", more=more)
            return await self._done("commit-tree", tree, "-p", parent, "-F", message, more=more)

    async def _push(self, commit: str, branch: str, before: str, token: str) -> None:
        ref = f"{HEADS}{branch}"
        words = ("push", "--quiet", "--no-verify", f"--force-with-lease={ref}:{before}", "--", self._git.url)
        done = await self._mirror.git(*words, f"{commit}:{ref}", token=token)
        if done.exit_code == 0:
            return
        if "stale info" in done.stderr or "fetch first" in done.stderr:
            raise Conflict(f"the branch {branch!r} was changed meanwhile", "publish again")
        raise ExternalFailure(
            f"git cannot push {branch!r}: {reason(done.stderr)}",
            "the token of [git] needs the right to write; nothing was published",
        )

    async def _log(self, principal: Principal, flow: FlowPublication, branch: str, commit: str) -> None:
        """Raises StorageError; the commit is there, and publishing again finds it."""
        event = audit_event(
            principal,
            principal.tenant,
            "flow.commit",
            f"flow:{self._owner().project}/{flow.name}",
            None,
            {"branch": branch, "commit": commit, **({"note": flow.note} if flow.note else {})},
        )
        await self._write(lambda connection: append_event(connection, event))

    async def _with_pull_request(self, made: PublishedCommit, change: Change, token: str) -> PublishedCommit:
        """The commit is there, so what fails from here on is told and not raised."""
        try:
            url = await self._pull_requests.open(change, token)
        except SizewiseError as error:
            return PublishedCommit(made.repository, made.branch, made.commit, problem=error.message)
        return PublishedCommit(made.repository, made.branch, made.commit, pull_request=url)

    async def _done(self, *words: str, more: dict[str, str] | None = None) -> str:
        done = await self._mirror.git(*words, more=more)
        if done.exit_code:
            raise ExternalFailure(f"git cannot make a commit: {reason(done.stderr)}", "see its message")
        return done.stdout.strip()


def _title(flow: FlowPublication) -> str:
    return f"Publish the flow {flow.name}"


def _branch_of(principal: Principal, name: str) -> str:
    """Of its own for each person or key, readable where the name is."""
    id = principal.user_id or principal.key_id
    readable = re.sub(r"[^a-z0-9]+", "-", principal.name.casefold())[:NAME_CHARS].strip("-")
    return f"sizewise/{readable or 'key'}-{sha256(id.encode()).hexdigest()[:6]}/{name}"


def _people(principal: Principal) -> dict[str, str]:
    """The author has no e-mail address of a person: it would be public with the repository."""
    name = "".join(each for each in principal.name if each.isprintable() and each not in "<>")[:100]
    id = re.sub(r"[^A-Za-z0-9._-]", "-", principal.user_id or principal.key_id)
    people = {"AUTHOR": (name or id or "sizewise", f"{id or 'key'}@localhost"), "COMMITTER": COMMITTER}
    return {
        f"GIT_{who}_{part}": word
        for who, its in people.items()
        for part, word in zip(("NAME", "EMAIL"), its, strict=True)
    }
