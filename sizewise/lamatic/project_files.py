"""Files of a Lamatic project: follows `@prompts/x.md` and imports, through a lookup; drops and names dead settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from sizewise.flows.language.types import Json
from sizewise.lamatic import typescript_literals
from sizewise.lamatic.canvas import LamaticFileError
from sizewise.lamatic.typescript_literals import NonLiteral

FileLookup = Callable[[str], str | None]
"""Path from the project's root -> text of the file; None if it does not exist."""
REFERENCE_FOLDERS = ("prompts", "scripts", "model-configs", "constitutions", "triggers", "memory", "tools")
MAX_FILES = 200
"""Maximum files that one flow may refer to."""
MAX_DEPTH = typescript_literals.MAX_DEPTH
"""Of a value with what its references give."""
MAX_SIZE = typescript_literals.MAX_TEXT
"""Of a flow's values with what their references give: characters of the texts, and VALUE_SIZE for each value."""
VALUE_SIZE = 16
_FOLDER = "|".join(REFERENCE_FOLDERS)
_REFERENCE = re.compile(rf"@(?P<path>(?:{_FOLDER})/[\w./ ()+&,'-]{{1,200}})")
_LIKE_A_REFERENCE = re.compile(rf"@(?:{_FOLDER})/[^\n]*")
_MODULE = re.compile(r"export\s+default\s*[`'\"]")


def no_files(path: str) -> str | None:
    return None


class ResolvedValues(Struct, frozen=True):
    """A node's values with the files' contents. `dropped`: name of each value left out -> why."""

    values: Mapping[str, Json]
    dropped: Mapping[str, str]


class _Dropped(Struct, frozen=True):
    why: str


class ProjectFiles:
    """Reads each file of a project once."""

    def __init__(self, lookup: FileLookup) -> None:
        self._find = lookup
        self._texts: dict[str, str | None] = {}
        self._modules: dict[str, Mapping[str, Json]] = {}
        self._loading: list[str] = []
        self._size = 0

    def text(self, path: str) -> str | None:
        """None if the file does not exist. Raises LamaticFileError for a path outside the project."""
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts or path.startswith("/") or "\\" in path or "\0" in path:
            raise LamaticFileError(f"{path[:100]!r} is outside the project", "Refer to files of the project.")
        name = "/".join(parts)
        if name not in self._texts:
            if len(self._texts) >= MAX_FILES:
                raise LamaticFileError(f"the flow refers to more than {MAX_FILES} files", "Split it.")
            found = self._find(name)
            if found is not None and len(found) > typescript_literals.MAX_BYTES:
                raise LamaticFileError(
                    f"{name}: the file is longer than {typescript_literals.MAX_BYTES} characters",
                    "Split it.",
                )
            self._texts[name] = found
        return self._texts[name]

    def module(self, name: str, text: str) -> Mapping[str, Json]:
        """Exports of a TypeScript file. Raises LamaticFileError for circular imports."""
        if name in self._modules:
            return self._modules[name]
        if name in self._loading:
            circle = " → ".join([*self._loading[self._loading.index(name) :], name])
            raise LamaticFileError(f"circular imports: {circle[:300]}", "Remove one of the imports.")
        self._loading.append(name)
        found = typescript_literals.parse_module(text, lambda path: self._sibling(name, path))
        self._loading.pop()
        self._modules[name] = found
        return found

    def _sibling(self, name: str, path: str) -> Mapping[str, Json]:
        folder = name.split("/")[:-1]
        for part in path.split("/"):
            if part == "..":
                if not folder:
                    raise LamaticFileError(f"{path[:100]!r} is outside the project", "Import files of the project.")
                folder.pop()
            elif part not in ("", "."):
                folder.append(part)
        wanted = "/".join(folder)
        for each in (wanted, f"{wanted}.ts", f"{wanted}.js", f"{wanted}.json", f"{wanted}/index.ts"):
            if (text := self.text(each)) is not None:
                return (
                    self.module(each, text)
                    if not each.endswith(".json")
                    else {"default": typescript_literals.parse_literal(text)}
                )
        return {}

    def resolve_references(self, values: Mapping[str, Json]) -> ResolvedValues:
        """References replaced by the content of their files, also within these.

        A setting whose file says nothing about it but the same reference, or nothing at all, is dropped. Raises
        LamaticFileError, also if the result is too large or too deep: a few files can refer to each other many times.
        """
        dropped: dict[str, str] = {}
        made = self._mapping(values, (), dropped, 0)
        return ResolvedValues(made, dropped)

    def _mapping(
        self, values: Mapping[str, Json], through: tuple[str, ...], dropped: dict[str, str], depth: int
    ) -> dict[str, Json]:
        made: dict[str, Json] = {}
        for name, each in values.items():
            found = self._resolved(each, str(name), through, dropped, depth)
            if isinstance(found, _Dropped):
                dropped[str(name)] = found.why
            else:
                made[str(name)] = found
        return made

    def _resolved(
        self, said: Json, key: str, through: tuple[str, ...], dropped: dict[str, str], depth: int
    ) -> Json | _Dropped:
        """`through`: the files that led here. `depth`: of the values and references that led here."""
        self._count(said, depth)
        if isinstance(said, Mapping):
            return self._mapping(said, through, dropped, depth + 1)
        if isinstance(said, list):
            items = [self._resolved(each, key, through, dropped, depth + 1) for each in said]
            if lost := [each.why for each in items if isinstance(each, _Dropped)]:
                dropped[key] = lost[0]
            return [each for each in items if not isinstance(each, _Dropped)]
        if not isinstance(said, str) or not said.startswith("@"):
            return said
        match = _REFERENCE.fullmatch(said.strip())
        if match is None:
            odd = _LIKE_A_REFERENCE.fullmatch(said.strip()) is not None
            return NonLiteral(f"{said[:100]} is not a path of the project", 0) if odd else said
        path = match["path"]
        if path in through:
            return _Dropped(f"{said[:100]} refers to itself")
        text = self.text(path)
        if text is None:
            return NonLiteral(f"{said[:100]} does not exist", 0)
        if not path.endswith((".ts", ".js")) or (
            path.startswith("scripts/") and not _MODULE.match(text, typescript_literals.literal_start(text))
        ):
            self._count(text, depth)
            return text.removesuffix("\n") if path.endswith(".md") else text
        found = self.module(path, text).get("default", NonLiteral(f"{said[:100]} has no default", 0))
        if not isinstance(found, Mapping):
            self._count(text, depth)
            return found
        if key not in found:
            why = f"{said[:100]} has no {key[:40]}"
            return NonLiteral(why, 0) if key.endswith("ModelName") else _Dropped(why)
        return self._resolved(found[key], key, (*through, path), dropped, depth + 1)

    def _count(self, said: Json, depth: int) -> None:
        """Raises LamaticFileError if there is too much of it."""
        self._size += VALUE_SIZE + (len(said) if isinstance(said, str) else 0)
        if depth > MAX_DEPTH or self._size > MAX_SIZE:
            what = f"deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else f"larger than {MAX_SIZE} characters"
            raise LamaticFileError(f"the flow with the files that it refers to is {what}", "Split it.")
