"""What an import did with each line of a foreign configuration: carried, changed or refused. No line is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from sizewise.evals.imports.imported_eval import JsonValue
from sizewise.evals.imports.source_files import ParsedFile

Outcome = Literal["carried", "changed", "refused"]
"""`changed`: another setting, or a built-in behavior, takes its place; `refused`: it has no effect here."""
OUTCOMES: tuple[Outcome, ...] = ("carried", "changed", "refused")
KeyPath = tuple[str | int, ...]
Rules = Mapping[str, Mapping[str, Mapping[str, str]]]
"""Group -> key -> `changed` or `refused` -> message."""
UNKNOWN = "this importer does not know it"
EMPTY = "nothing is set"


@dataclass(frozen=True, slots=True)
class ReportLine:
    """`line` counts from 1. `key`: as `model_list[0].model_name`. `message` never contains a value of a secret."""

    file: str
    line: int
    key: str
    outcome: Outcome
    message: str

    @property
    def kind(self) -> str:
        """`key` without the places in lists, as `model_list[].model_name`."""
        return re.sub(r"\[\d+\]", "[]", self.key)


@dataclass(frozen=True, slots=True)
class ConfigNode:
    """A value in a file, and where it is."""

    file: str
    path: KeyPath
    value: JsonValue

    def get(self, key: str | int) -> ConfigNode | None:
        """The value under `key`; None if there is none, or null, as LiteLLM reads it."""
        if isinstance(self.value, dict) and self.value.get(key) is not None:
            return ConfigNode(self.file, (*self.path, key), self.value[key])
        return None

    def fields(self) -> Iterator[tuple[str, ConfigNode]]:
        """Of a mapping; nothing of another value."""
        if isinstance(self.value, dict):
            for key, value in self.value.items():
                yield key, ConfigNode(self.file, (*self.path, key), value)

    def items(self) -> Iterator[ConfigNode]:
        """Of a list; nothing of another value."""
        if isinstance(self.value, list):
            for place, value in enumerate(self.value):
                yield ConfigNode(self.file, (*self.path, place), value)

    def text(self, key: str) -> str:
        """The string under `key`, without surrounding blanks; empty if there is none."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return value.strip() if isinstance(value, str) else ""


class MigrationReport:
    """Collects what became of each value; a word about a mapping or a list covers what it contains."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._files: dict[str, ParsedFile] = {}
        self._said: dict[tuple[str, KeyPath], tuple[Outcome, str]] = {}

    def add_file(self, name: str, parsed: ParsedFile) -> ConfigNode:
        self._files[name] = parsed
        return ConfigNode(name, (), parsed.data)

    def carried(self, node: ConfigNode | None, message: str) -> None:
        self._say(node, "carried", message)

    def changed(self, node: ConfigNode | None, message: str) -> None:
        self._say(node, "changed", message)

    def refused(self, node: ConfigNode | None, message: str) -> None:
        self._say(node, "refused", message)

    def by_rules(self, group: str, parent: ConfigNode) -> None:
        """About each key of `parent` that the group knows."""
        for key, node in parent.fields():
            self.by_rule(group, key, node)

    def by_rule(self, group: str, key: str, node: ConfigNode | None) -> bool:
        """Whether the group knows the key; else nothing is said."""
        rule = self._rules[group].get(key, {})
        for outcome, message in rule.items():
            (self.changed if outcome == "changed" else self.refused)(node, message)
        return bool(rule)

    def _say(self, node: ConfigNode | None, outcome: Outcome, message: str) -> None:
        """A worse word about a value takes the place of a better one. Values of a credential have their word there."""
        if node is None or node.value is None or node.path not in self._files[node.file].positions:
            return
        before = self._said.get((node.file, node.path))
        if before is None or OUTCOMES.index(outcome) > OUTCOMES.index(before[0]):
            self._said[node.file, node.path] = (outcome, message)

    def lines(self) -> list[ReportLine]:
        """One for each value that something was said of, and for each that nobody spoke of; by file and line."""
        found = [
            self._line(file, path, outcome, message)
            for (file, path), (outcome, message) in self._said.items()
            if not self._contains_more(file, path)
        ]
        found += [
            self._line(file, path, *(("carried", EMPTY) if value in (None, "", [], {}) else ("refused", UNKNOWN)))
            for file, parsed in self._files.items()
            for path, value in _leaves(parsed.data)
            if not any((file, path[:length]) in self._said for length in range(len(path) + 1))
        ]
        order = list(self._files)
        return sorted(found, key=lambda each: (order.index(each.file), each.line))

    def _contains_more(self, file: str, path: KeyPath) -> bool:
        """Whether all of its leaves have words of their own, so that the one about it would count them twice."""
        value = _value(self._files[file].data, path)
        return (isinstance(value, dict | list) and bool(value)) and all(
            any((file, leaf[:length]) in self._said for length in range(len(path) + 1, len(leaf) + 1))
            for leaf, _ in _leaves(value, path)
        )

    def _line(self, file: str, path: KeyPath, outcome: Outcome, message: str) -> ReportLine:
        line, _ = self._files[file].positions.get(path, (1, 1))
        return ReportLine(file=file, line=line, key=key_text(path), outcome=outcome, message=message)


def key_text(path: KeyPath) -> str:
    """As `model_list[0].litellm_params.model`."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path).removeprefix(".")


def _value(data: JsonValue, path: KeyPath) -> JsonValue:
    for key in path:
        data = data[key]
    return data


def _leaves(value: JsonValue, path: KeyPath = ()) -> Iterator[tuple[KeyPath, JsonValue]]:
    """All values that contain no others, with their paths."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list) and value:
        for place, each in enumerate(value):
            yield from _leaves(each, (*path, place))
    elif path:
        yield path, value
