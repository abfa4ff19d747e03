"""Publication: a flow or prompt that is to become a commit: its paths, branch, title and versions; runs no git."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from sizewise.errors import Conflict
from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.flows.validator import parse_flow_text
from sizewise.prompts.prompt import PromptSyntaxError, parse_prompt

Kind = Literal["flow", "prompt"]


class _Files(Struct, frozen=True):
    """`suffixes`: the first is that of new files. `version_of`: of a name and text."""

    folder: str
    suffixes: tuple[str, ...]
    branch_suffix: str
    version_of: Callable[[str, str], str]


class Publication(Struct, frozen=True):
    """`text` None: its file is to be removed. `expected`: the version that it replaces; empty: it is new; None: any."""

    kind: Kind
    name: str
    text: str | None
    expected: str | None = None
    note: str = ""

    @property
    def title(self) -> str:
        return f"{'Withdraw' if self.text is None else 'Publish'} the {self.kind} {self.name}"

    @property
    def branch_name(self) -> str:
        """No flow's is that of a prompt."""
        return f"{self.name}{_FILES[self.kind].branch_suffix}"

    def paths(self, root: str) -> list[str]:
        """Where its file may be below the folder `root`."""
        its = _FILES[self.kind]
        folder = f"{root}/{its.folder}" if root else its.folder
        return [f"{folder}/{self.name}{suffix}" for suffix in its.suffixes]

    def version_of(self, text: str | None) -> str:
        """Of a file's text; empty if there is none, or a wrong one."""
        return "" if text is None else _FILES[self.kind].version_of(self.name, text)

    def require_replaces(self, current: str, where: str) -> None:
        """Raises Conflict if `expected` is another version than `current`."""
        if self.expected is not None and self.expected != current:
            now = f"version {current[:12]}" if current else "not published"
            raise Conflict(
                f"the {self.kind} {self.name!r} of {where} was changed meanwhile: it is {now}",
                "compare it with yours, and publish again with that version as expectedVersion",
            )


def _flow_version(name: str, text: str) -> str:
    spec = parse_flow_text(text).spec
    return "" if spec is None else spec.version


def _prompt_version(id: str, text: str) -> str:
    try:
        return parse_prompt(id, text, lambda head: parse_yaml(head).data).version
    except PromptSyntaxError:
        return ""


_FILES: Mapping[Kind, _Files] = {
    "flow": _Files("flows", (".yaml", ".yml"), "", _flow_version),
    "prompt": _Files("prompts", (".md",), ".md", _prompt_version),
}
