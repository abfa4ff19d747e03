"""Prompt files, parsed: versions that do not depend on the machine, and mistakes with their line."""

from __future__ import annotations

import pytest

from sizewise.flows.language.yaml_source import parse_yaml
from sizewise.prompts.prompt import PromptSyntaxError, PromptTemplate, parse_prompt

HEAD = "---\ndescription: d\nvariables:\n  a: text\n  b: {type: number, default: 1}\n---\n"


def parsed(text: str) -> PromptTemplate:
    return parse_prompt("it", text, lambda head: parse_yaml(head).data)


@pytest.mark.parametrize(
    "same",
    [
        f"{HEAD}Say {{{{ a }}}} {{{{b}}}}\n\n".replace("\n", "\r\n"),
        f"\ufeff{HEAD}\nSay {{{{ a }}}} {{{{b}}}}",
        "---\nvariables:\n  b: {default: 1, type: number}\n  a: {type: text}\n"
        "description: d # why\n---\nSay {{ a }} {{b}}\n",
    ],
    ids=["CRLF", "byte order mark", "other order of keys"],
)
def test_the_version_is_that_of_the_content(same: str) -> None:
    assert parsed(same).version == parsed(f"{HEAD}Say {{{{ a }}}} {{{{b}}}}\n").version
    assert parsed(same).version != parsed(f"{HEAD}Say {{{{ a }}}} {{{{ b }}}}!\n").version


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("---\ndescription: d\n", 1, "no end"),
        (f"{HEAD}Hello\n{{{{ c }}}}", 8, "'c' is not declared"),
        (f"{HEAD}Hello\n\n{{{{ a.b }}}}", 9, "begins no variable"),
        ("---\n- a\n---\nHello", 2, "no mapping"),
        ("---\ndescription: d\nmodle: x\n---\nHello", 3, "no field 'modle'"),
        ("---\nmodel: a\npolicy: b\n---\nHello", 1, "exclude"),
        ("---\nvariables: {a: texts}\n---\nHello", 2, "is not a type"),
        ("---\nvariables: {a: {type: integer, default: x}}\n---\nHello", 2, "the default of 'a'"),
        ("---\ndescription: {\n---\nHello", 3, "YAML"),
        (" \n", 1, "no text"),
    ],
)
def test_a_mistake_is_found_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(PromptSyntaxError, match=said) as found:
        parsed(text)
    assert found.value.line == line and found.value.hint


def test_braces_can_be_written_and_values_stay_text() -> None:
    assert parsed(r"Write \{{ name }} for {{ it }}").render({"it": "{{ it }}"}) == "Write {{ name }} for {{ it }}"
    typed = parsed("---\nvariables: {a: json, b: boolean}\n---\n{{ a }} {{ b }}")
    assert typed.render({"a": {"ä": [1]}, "b": True}) == '{"ä":[1]} true'
