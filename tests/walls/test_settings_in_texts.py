"""Settings named in texts: each section and key in a message, hint or description is a setting that exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_origin, get_type_hints

import pytest

from sizewise.settings.root import FileSettings
from sizewise.settings.toml_reader import settings_key
from tests.walls.source import Source, docstrings, planted, stands

RENAMED = "sizewise/settings/renamed.py"
"""The old names, which do not exist on purpose."""
SECTION = r"(?<!\[)\[(?P<section>[a-z_]+(?:\.[\w{}\"<>/-]+)*)\]"
PATTERNS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{SECTION} (?:has )?`(?P<key>\w+)",
        rf"{SECTION} (?P<key>\w+)(?= = |$)",
        rf"`(?P<key>\w+)(?: = [^`]*)?` in {SECTION}",
        rf"\b(?P<key>\w+) = \S+ in {SECTION}",
        rf"\b(?:set|raise|lower) (?P<key>(?!it\b)\w+) in {SECTION}",
        rf"\b(?:in|under|below|see) {SECTION}",
        rf"{SECTION}(?: (?:in sizewise\.toml|of the settings)|\))",
    )
)
ANY_KEY = re.compile(r"\b(?:raise|lower) `?(?P<key>[a-z]+_\w+)")
ASSIGNED = re.compile(r"`(?P<key>[a-z_]+) = [^`]*`(?! in \[)")
"""Keys without their section."""
DOTTED = re.compile(r"\b(?:[Ss]et|set what) `?(?P<section>[a-z_]+)\.(?P<key>[a-z_]+|\{\})")
"""A section and a key, with a dot between them."""
NOT_SETTINGS = frozenset({"brackets", "facts"})
"""Words in brackets that are no section: TOML's own, and the table of a workload's file."""
OPTION_TABLES = frozenset({"target"})
"""Tables among the options of a policy, which its kind reads."""


def model_at(path: list[str]) -> Any:
    """The settings class of the section, or None. A part of the path may be any name where the setting is a table."""
    model: Any = FileSettings
    for part in path:
        if is_dataclass(model):
            model = next(
                (_table(get_type_hints(model)[each.name]) for each in fields(model) if each.name == part), None
            )
        elif get_origin(model) is not None and issubclass(get_origin(model), Mapping):
            model = _table(get_args(model)[1])
        else:
            return None
    if get_origin(model) is not None and issubclass(get_origin(model), Mapping):
        model = _table(get_args(model)[1])  # [oidc] for any [oidc.NAME]
    return model


def _table(hint: Any) -> Any:
    """The class or mapping in `hint`, without `| None` and `tuple[...]`."""
    for each in (hint, *get_args(hint)):
        origin = get_origin(each)
        if is_dataclass(each) or (isinstance(origin, type) and issubclass(origin, Mapping)):
            return each
    return None


def all_keys(model: Any = FileSettings) -> Iterator[str]:
    for each in fields(model):
        yield settings_key(each.name)
        inner = _table(get_type_hints(model)[each.name])
        while inner is not None and not is_dataclass(inner):
            inner = _table(get_args(inner)[1])
        if inner is not None:
            yield from all_keys(inner)


KEYS = frozenset(all_keys())


def texts(file: Source) -> Iterator[tuple[ast.AST, str]]:
    """The string literals that are no docstrings; each expression of an f-string as `{}`."""
    documents: set[ast.AST] = {*docstrings(file.tree)}
    for node in file.nodes:
        if isinstance(node, ast.JoinedStr):
            documents |= set(node.values)
            yield node, "".join(str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in documents:
            yield node, node.value


def unknown_settings(file: Source) -> Iterator[str]:
    if file.within(RENAMED):
        return
    for node, text in texts(file):
        if ";\n" in text:
            continue  # JavaScript
        for match in (found for pattern in PATTERNS for found in pattern.finditer(text)):
            section, key = match["section"], match.groupdict().get("key")
            model = model_at(section.split("."))
            if section in NOT_SETTINGS:
                continue
            if model is None:
                yield file.at(node, f"[{section}] is no section of the settings")
            elif key and is_dataclass(model) and key not in {settings_key(each.name) for each in fields(model)}:
                yield file.at(node, f"[{section}] has no setting {key!r}")
        for match in (*ANY_KEY.finditer(text), *ASSIGNED.finditer(text)):
            if match["key"] not in KEYS:
                yield file.at(node, f"there is no setting {match['key']!r}")
        for match in DOTTED.finditer(text):
            model = model_at([match["section"]])
            if match["section"] in OPTION_TABLES:
                continue
            if model is None or (is_dataclass(model) and match["key"] not in {*all_keys(model), "{}"}):
                yield file.at(node, f"there is no setting {match['section']}.{match['key']}")


def test_each_setting_that_a_text_names_exists() -> None:
    stands(unknown_settings, "sizewise")


@pytest.mark.parametrize(
    "text",
    [
        "list them in [graphql] listed",
        "set `listed` in [graphql]",
        "see [vault] in sizewise.toml",
        "`body_bytes` in [server] of sizewise.toml",
        'embed = "x" in [knowledge.NAME]',
        "send less, or raise body_bytes",
        "check `issuers` in [oidc]",
        "declare it: [agent.NAME] in sizewise.toml",
        "it needs Linux or `confined = false`",
        "Set reach.public.",
        "set what `guards.pii` does",
        "set egress.secret",
    ],
)
def test_the_wall_sees_a_setting_that_does_not_exist(text: str) -> None:
    assert planted(unknown_settings, f"raise BadRequest('it is wrong', {text!r})")
    assert not planted(unknown_settings, f"RENAMED = {text!r}", RENAMED)


@pytest.mark.parametrize(
    "text",
    [
        "raise `max_body_bytes` in [server] of sizewise.toml",
        '`unpriced = "allow"` in [budgets]',
        "see [knowledge.NAME.remote] in sizewise.toml",
        "a list in [brackets]",
        "Days until it expires. [never]",
        "it needs Linux or `require_isolation = false`",
        "Set egress.public.",
    ],
)
def test_the_wall_passes_settings_that_exist_and_other_brackets(text: str) -> None:
    assert not planted(unknown_settings, f"raise BadRequest('it is wrong', {text!r})")
