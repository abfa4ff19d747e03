"""Prompt library: the files of one folder by id, each read again when it has changed, and replaced; renders nothing.

A prompt is live as soon as its file is saved: its size and time are looked at each time it is used, which takes
microseconds, and no other file is. Belongs to one project, as the flows of the folder do.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from sizewise.atomic_file import write_file_atomically
from sizewise.errors import BadRequest, Conflict, PathNotFound, did_you_mean
from sizewise.principal import Principal
from sizewise.prompts.prompt import MAX_BYTES, PROMPT_ID, ParseYaml, PromptSyntaxError, PromptTemplate, parse_prompt

log = logging.getLogger("sizewise.prompts")

SUFFIX = ".md"
MIN_VERSION_DIGITS = 8
"""Hex digits that name a version, of 64."""
MAX_FILES = 5_000


class PromptFile(Struct, frozen=True):
    """A file of the folder. `error`: why it is no prompt."""

    id: str
    path: Path
    prompt: PromptTemplate | None
    error: PromptSyntaxError | None = None


class _Known(Struct, frozen=True):
    stamp: tuple[int, int, int]
    prompt: PromptTemplate | None
    error: PromptSyntaxError | None


def list_prompt_ids(folder: Path) -> list[str]:
    """Sorted. Raises OSError."""
    if not folder.is_dir():
        return []
    named = (path for path in folder.iterdir() if path.suffix == SUFFIX and PROMPT_ID.fullmatch(path.stem))
    return sorted(path.stem for path in named if path.is_file())[:MAX_FILES]


def read_prompt(folder: Path, id: str, parse_yaml: ParseYaml) -> PromptFile:
    """Raises OSError."""
    path = folder / f"{id}{SUFFIX}"
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    try:
        return PromptFile(id, path, parse_prompt(id, content.decode("utf-8"), parse_yaml))
    except UnicodeDecodeError:
        return PromptFile(id, path, None, PromptSyntaxError("the file is not UTF-8", "save it as UTF-8 text", 1))
    except PromptSyntaxError as error:
        return PromptFile(id, path, None, error)


def empty_library() -> PromptLibrary:
    return PromptLibrary(None, lambda text: None, "", "")


class PromptLibrary:
    """`folder` None: there are no prompts. `tenant`, `project`: whose prompts they are."""

    def __init__(self, folder: Path | None, parse_yaml: ParseYaml, tenant: str, project: str) -> None:
        self._folder = folder
        self._parse_yaml = parse_yaml
        self._owner = (tenant, project)
        self._known: dict[str, _Known] = {}

    def get(self, principal: Principal, id: str, version: str = "") -> PromptTemplate:
        """The live prompt, which must have `version` if one is given (its first digits suffice). While its file has
        errors, the one before holds. Raises PathNotFound, BadRequest.
        """
        prompt = self.find(principal, id)
        if prompt is None:
            hint = did_you_mean(id, self.ids(principal)) or f"add the file prompts/{id[:60]}{SUFFIX}"
            if PROMPT_ID.fullmatch(id) is None:
                hint = "an id is the name of a file in `prompts` without .md"
            raise PathNotFound(f"there is no prompt {id[:60]!r}", hint, param="prompt")
        if version and not (len(version) >= MIN_VERSION_DIGITS and prompt.version.startswith(version)):
            raise PathNotFound(
                f"the prompt {id!r} has no version {version[:64]!r} here",
                f"the live version is {prompt.version[:12]}; leave `version` out to follow it",
                param="prompt",
            )
        return prompt

    def find(self, principal: Principal, id: str) -> PromptTemplate | None:
        """None if there is no such prompt for this principal. Raises BadRequest if its file never was right."""
        if self._folder is None or self._owner != (principal.tenant, principal.project):
            return None
        if PROMPT_ID.fullmatch(id) is None:
            return None
        try:
            stat = os.stat(self._folder / f"{id}{SUFFIX}")
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            known = self._known.get(id)
            if known is None or known.stamp != stamp:
                known = self._known[id] = self._read(id, stamp, known)
        except OSError:
            self._known.pop(id, None)
            return None
        if known.prompt is None and known.error is not None:
            raise BadRequest(
                f"the prompt {id!r} has an error: {known.error.message}",
                f"fix it: sizewise prompt check {id}",
                param="prompt",
            )
        return known.prompt

    def _read(self, id: str, stamp: tuple[int, int, int], before: _Known | None) -> _Known:
        assert self._folder is not None
        found = read_prompt(self._folder, id, self._parse_yaml)
        if found.error is not None:
            log.warning("the prompt %r has an error in line %d; see: sizewise prompt check", id, found.error.line)
        prompt = found.prompt or (before.prompt if before is not None else None)
        return _Known(stamp, prompt, found.error)

    def ids(self, principal: Principal) -> list[str]:
        """Of all files that this principal may use, right or wrong."""
        if self._folder is None or self._owner != (principal.tenant, principal.project):
            return []
        try:
            return list_prompt_ids(self._folder)
        except OSError:
            return []

    def file(self, principal: Principal, id: str) -> PromptFile | None:
        """As it is in the folder now."""
        if self._folder is None or id not in self.ids(principal):
            return None
        try:
            return read_prompt(self._folder, id, self._parse_yaml)
        except OSError:  # just removed
            return None

    def replace(self, principal: Principal, id: str, text: str) -> None:
        """Writes the file, which is live at once. Raises BadRequest if this principal has no folder here, and Conflict
        if the file cannot be written.
        """
        if self._folder is None or self._owner != (principal.tenant, principal.project):
            raise BadRequest("this server has no prompts of your project", "use a key of the folder's project")
        path = self._folder / f"{id}{SUFFIX}"
        try:
            path.parent.mkdir(exist_ok=True)
            write_file_atomically(path.resolve(), text.encode())
        except OSError as error:
            raise Conflict(
                f"the file {path.name!r} cannot be written: {error.strerror or type(error).__name__}",
                "copy your text into the file where the folder comes from, such as its repository",
            ) from error

    def files(self, principal: Principal) -> Iterator[PromptFile]:
        """As they lie in the folder now."""
        for id in self.ids(principal):
            if (found := self.file(principal, id)) is not None:
                yield found


class FixedPrompts(PromptLibrary):
    """Prompts that never change, and lie in no folder: those of a release. `tenant`, `project`: whose they are."""

    def __init__(self, prompts: Mapping[str, PromptTemplate], tenant: str, project: str) -> None:
        super().__init__(None, lambda text: None, tenant, project)
        self._prompts = prompts

    def find(self, principal: Principal, id: str) -> PromptTemplate | None:
        return self._prompts.get(id) if self._owner == (principal.tenant, principal.project) else None

    def ids(self, principal: Principal) -> list[str]:
        return sorted(self._prompts) if self._owner == (principal.tenant, principal.project) else []
