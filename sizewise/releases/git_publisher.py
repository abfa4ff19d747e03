"""Publishing to git: a file becomes a commit on a branch of its publisher's, pushed by the mirror; makes nothing live.

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
from sizewise.principal import Principal
from sizewise.releases.git_mirror import HEADS, GitMirror, reason
from sizewise.releases.git_remote import check_egress
from sizewise.releases.publication import Publication
from sizewise.releases.pull_requests import Change, PullRequests
from sizewise.settings.load import Settings, resolve_secret
from sizewise.storage.database import AsyncTransactionRunner

REGULAR = ("100644", "100755")
MAX_FILE_BYTES = 4_000_000
COMMITTER = ("Sizewise", "sizewise@localhost")
NAME_CHARS = 30


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
    text: str | None = None


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

    async def publish(self, principal: Principal, its: Publication) -> PublishedCommit | None:
        """The same text again is the same commit. None: there is no such file to remove. Raises Conflict, BadRequest,
        EgressDenied, ExternalFailure.
        """
        token = resolve_secret(self._git.token)
        check_egress(self._settings)
        branch = _branch_of(principal, its.branch_name)
        async with self._mirror.alone():
            base = await self._mirror.fetch(token)
            in_base = await self._file(base, its)
            before, on_branch = await self._head(branch, its, token)
            is_merged = before and on_branch.blob == in_base.blob
            parent, file = (base, in_base) if is_merged or not before else (before, on_branch)
            self._require_known(its, in_base, file)
            if its.text is None and not in_base.blob and not file.blob:
                return None
            if file.text == its.text:
                if parent == base:
                    raise Conflict(
                        f"the branch {self._git.branch!r} has this text already",
                        "sizewise release sync makes a release of it",
                    )
                commit = parent
            else:
                commit = await self._commit(principal, its, parent, file.path)
                await self._push(commit, branch, before, token)
                await self._log(principal, its, branch, commit)
        made = PublishedCommit(self._git.url, branch, commit)
        change = Change(its.title, its.note, branch, self._git.branch)
        return await self._with_pull_request(made, change, token)

    def _require_known(self, its: Publication, in_base: _GitFile, file: _GitFile) -> None:
        """What is replaced is what the publisher began with: of the followed branch, or of his own."""
        if its.expected != its.version_of(file.text):
            its.require_replaces(its.version_of(in_base.text), f"the branch {self._git.branch}")

    async def _head(self, branch: str, its: Publication, token: str) -> tuple[str, _GitFile]:
        """The branch's last commit at the server, empty if there is no such branch, and its file."""
        words = ("ls-remote", "--heads", "--end-of-options", self._git.url, f"{HEADS}{branch}")
        listed = await self._mirror.git(*words, token=token)
        if listed.exit_code:
            raise ExternalFailure(f"git cannot list branches: {reason(listed.stderr)}", "check [git]")
        if not listed.stdout.strip():
            return "", _GitFile(its.paths(self._git.path)[0])
        commit = await self._mirror.fetch(token, branch)
        return commit, await self._file(commit, its)

    async def _file(self, commit: str, its: Publication) -> _GitFile:
        """Raises BadRequest for what is no regular file."""
        paths = its.paths(self._git.path)
        for path in paths:
            words = ("ls-tree", "-z", "--full-tree", "--end-of-options", commit, "--", path)
            about, _, found = (await self._mirror.read(*words)).rstrip("\0").partition("\t")
            if found != path:
                continue
            mode, _, blob = about.split()
            if mode not in REGULAR:
                raise BadRequest(f"{path!r} is no regular file in the repository", "put the file itself there")
            return _GitFile(path, blob, await self._mirror.read("cat-file", "blob", blob, limit=MAX_FILE_BYTES))
        return _GitFile(paths[0])

    async def _commit(self, principal: Principal, its: Publication, parent: str, path: str) -> str:
        with TemporaryDirectory(prefix="publish-", dir=self._mirror.folder) as folder:
            text, message, index = (f"{folder}/{name}" for name in ("text", "message", "index"))
            said = "\n\n".join(each for each in (its.title, its.note) if each)
            await asyncio.to_thread(Path(message).write_bytes, f"{said}\n".encode())
            more = {"GIT_INDEX_FILE": index, **_people(principal)}
            await self._done("read-tree", parent, more=more)
            if its.text is None:
                at = {**more, "GIT_WORK_TREE": folder}  # git wants one, and reads none of its files
                await self._done("update-index", "--force-remove", "--", path, more=at)
            else:
                await asyncio.to_thread(Path(text).write_bytes, its.text.encode())
                blob = await self._done("hash-object", "-w", "--no-filters", "--", text)
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

    async def _log(self, principal: Principal, its: Publication, branch: str, commit: str) -> None:
        """Raises StorageError; the commit is there, and publishing again finds it."""
        event = audit_event(
            principal,
            principal.tenant,
            f"{its.kind}.commit",
            f"{its.kind}:{self._owner().project}/{its.name}",
            None,
            {"branch": branch, "commit": commit, **({"note": its.note} if its.note else {})},
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
