"""Imports of other programs' evals: what is carried scores as there, what is not has its line, and nothing is run."""

from __future__ import annotations

import json
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sizewise.errors import SizewiseError
from sizewise.evals.datasets.item_formats import ItemFormat, export_items, lost_fields
from sizewise.evals.imports.imported_eval import ImportRefused, ImportReport
from sizewise.evals.imports.inspect_log import import_inspect
from sizewise.evals.imports.langfuse_items import import_langfuse
from sizewise.evals.imports.openai_evals import import_openai_evals
from sizewise.evals.imports.promptfoo import import_promptfoo
from sizewise.evals.runs.eval_items import read_items
from sizewise.evals.runs.eval_spec import ScorerSpec, build_spec
from sizewise.evals.runs.item_scorers import TargetAnswer, score_by_rule
from sizewise.flows.language.yaml_source import parse_yaml
from tests.cli.terminal import sizewise

PIRATE = """\
description: pirates
prompts:
  - file://prompts.txt
providers:
  - id: openai:chat:gpt-4o-mini
    config: {temperature: 0.5, seed: 3}
  - exec:rm -rf everything
outputPath: out.csv
defaultTest:
  vars: {tone: file://tone.md}
  assert:
    - {type: latency, threshold: 3000}
tests:
  - vars: {body: Hello}
    assert:
      - {type: icontains, value: ahoy}
      - {type: not-contains, value: Hello}
      - {type: javascript, value: "process.exit(1)"}
      - $ref: '#/assertionTemplates/rubric'
  - vars: {body: [one, two]}
    assert:
      - {type: similar, value: 'Ahoy {{body}}', threshold: 0.8}
  - file://more.csv
  - file://../outside.yaml
  - vars: {body: file://code.py}
assertionTemplates:
  rubric: {type: llm-rubric, value: 'Speaks like a {{tone}}'}
"""


ITEMS: list[dict[str, Any]] = [
    {"id": "a", "input": "Capital?", "expected": "Paris", "tags": ["must"]},
    {
        "id": "b",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2+2?"}],
        "expected": ["4", "four"],
    },
    {"id": "c", "input": "Anything."},
]


def promptfoo(folder: Path, text: str = PIRATE) -> ImportReport:
    (folder / "promptfooconfig.yaml").write_text(text)
    return import_promptfoo(folder / "promptfooconfig.yaml", partial(parse_yaml, allow_aliases=True), "pirate", "auto")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "pirate"
    found.mkdir()
    (found / "prompts.txt").write_text(
        'Say as a {{tone}}: {{ body }}\n---\n[{"role": "user", "content": "{{body}}!"}]\n'
    )
    (found / "tone.md").write_text("pirate\n")
    (found / "more.csv").write_text('body,__expected,__metric\n"Hi, you","contains-any: arr, ahoy",m\n')
    (found / "code.py").write_text("raise SystemExit")
    (tmp_path / "outside.yaml").write_text("- vars: {body: stolen}\n")
    return found


def test_a_promptfoo_configuration_becomes_evals_and_what_is_lost_has_its_line(folder: Path) -> None:
    report = promptfoo(folder)
    one, two = report.evals
    assert (one.name, two.name) == ("pirate.prompts-1", "pirate.prompts-2")
    assert one.spec["target"] == {"model": "openai/gpt-4o-mini", "temperature": 0.5}
    assert [each["input"] for each in one.items] == [
        "Say as a pirate: Hello",
        "Say as a pirate: one",
        "Say as a pirate: two",
        "Say as a pirate: Hi, you",
    ]
    assert two.items[0]["input"] == [{"role": "user", "content": "Hello!"}]
    assert one.items[0]["criteria"] == "* Speaks like a pirate" and one.items[2]["expected"] == "Ahoy two"
    assert one.spec["scorers"]["similar"] == {"kind": "similarity", "threshold": 0.8}
    notes = [str(each) for each in report.notes]
    for line, said in (
        (8, "`outputPath`"),
        (6, "`seed`"),
        (7, "exec:rm -rf"),
        (18, "'javascript' is code"),
        (24, "leads out"),
        (25, "nothing is run"),
    ):
        assert any(each.startswith(f"promptfooconfig.yaml:{line}: ") and said in each for each in notes), (said, notes)
    assert any(each.startswith("more.csv:2: ") and "__metric" in each for each in notes)
    assert "stolen" not in json.dumps([each.items for each in report.evals])


@pytest.mark.parametrize(
    ("name", "items", "seen", "carried", "noted"),
    [
        (
            "simple-test",
            10,
            8,
            6,
            ("promptfooconfig.yaml:32: ", "promptfooconfig.yaml:34: ", "promptfooconfig.yaml:52: "),
        ),
        ("simple-csv", 4, 4, 4, ("prompts.txt:1: the template {{ (style_config | load).tone }}",)),
        ("multiple-translations-scenarios", 18, 9, 9, ()),
        (
            "json-output",
            2,
            5,
            1,
            ("promptfooconfig.yaml:15: ", "promptfooconfig.yaml:25: ", "promptfooconfig.yaml:39: "),
        ),
        ("rag-eval", 2, 11, 3, ("promptfooconfig.yaml:18: the assertion 'answer-relevance'",)),
    ],
)
def test_real_configurations_are_carried_as_far_as_they_can_be(
    name: str, items: int, seen: int, carried: int, noted: tuple[str, ...]
) -> None:
    file = Path(__file__).parent / "promptfoo" / name / "promptfooconfig.yaml"
    report = import_promptfoo(file, partial(parse_yaml, allow_aliases=True), name, "auto")
    assert sum(len(each.items) for each in report.evals) == items and (report.seen, report.carried) == (seen, carried)
    notes = [str(each) for each in report.notes]
    assert all(any(note.startswith(each) for note in notes) for each in noted) and bool(notes) == bool(noted)
    for each in report.evals:
        assert build_spec({**each.spec, "data": "x.jsonl"}).scorers
        assert all(each["input"] and "{{" not in str(each["input"]) for each in each.items)


def test_carried_assertions_score_as_they_do_there(folder: Path, tmp_path: Path) -> None:
    items = promptfoo(folder).evals[0].items
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(each) + "\n" for each in items))
    first, *_, last = read_items(tmp_path / "x.jsonl").items
    rule = ScorerSpec(kind="checks")

    def value(item: Any, text: str, seconds: float = 1.0) -> float | None:
        return score_by_rule(rule, item, TargetAnswer(text, seconds=seconds)).value

    assert value(first, "AHOYthere") == 1.0 and value(first, "Ahoy, Hello") == 0.0 and value(first, "ahoy", 4) == 0.0
    assert value(last, "arrr") == 1.0 and value(last, "Arr") == 0.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompts: ['{% for x in y %}']\ntests: [{vars: {a: 1}}]\n", "a template statement"),
        ("prompts: ['{{ a | upper }}']\ntests: [{vars: {a: 1}}]\n", "the template {{ a | upper }}"),
        ("prompts: ['{{ b }}']\ntests: [{vars: {a: 1}}]\n", "which has no value"),
        ("prompts: [file:///etc/passwd]\ntests: [{vars: {a: 1}}]\n", "leads out of the folder"),
        ("prompts: [file://link.txt]\ntests: [{vars: {a: 1}}]\n", "a link that leads out of the folder"),
        ("prompts: [file://none.txt]\ntests: [{vars: {a: 1}}]\n", "is not there"),
        ("prompts: [x]\ntests: https://example.com/tests\n", "nothing is fetched"),
        ("prompts: [x]\ntests: [{vars: {a: &l [1,2,3,4,5,6,7,8,9,10,11], b: *l, c: *l}}]\n", "than 1000"),
        ("prompts: [x]\ntests: [{assert: [{type: regex, value: '(?=a)'}]}]\n", "no regular expression"),
        ("prompts: [x]\ntests: [{assert: [{type: similar, value: a, threshold: much}]}]\n", "without a threshold"),
        ("prompts: [x]\ntests: [{assert: [{type: contains, value: 'file://code.js'}]}]\n", "of the file"),
        ("prompts: [x]\ntests: [7]\nscenarios: [8]\n", "a test that is a int"),
        ("prompts: [x]\ntests: file://loop.yaml\n", "'loop.yaml' names itself"),
    ],
)  # fmt: skip
def test_what_a_hostile_or_strange_configuration_asks_for_is_noted(folder: Path, text: str, said: str) -> None:
    (folder / "link.txt").symlink_to("/etc/hostname")
    (folder / "loop.yaml").write_text("- file://loop.yaml\n")
    report = promptfoo(folder, text)
    assert any(said in each.message for each in report.notes), [str(each) for each in report.notes]


def test_what_is_no_configuration_is_refused(folder: Path) -> None:
    with pytest.raises(ImportRefused, match="no promptfoo configuration"):
        promptfoo(folder, "- a list\n")
    with pytest.raises(SizewiseError):
        promptfoo(folder, "prompts: [\n")


def test_items_of_langfuse_are_imported_from_json_and_csv_alike(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "input": {"question": "Capital?"}, "expectedOutput": {"answer": "Paris"}, "status": "ACTIVE"},
        {"id": "b", "input": "Old", "status": "ARCHIVED"},
        {"id": "c", "input": 7},
    ]
    (tmp_path / "items.json").write_text(json.dumps({"data": rows, "meta": {}}))
    cells = ('a,"{""question"": ""Capital?""}","{""answer"": ""Paris""}",ACTIVE', "b,Old,,ARCHIVED", "c,7,,")
    (tmp_path / "items.csv").write_text("id,input,expectedOutput,status\n" + "\n".join(cells) + "\n")
    one, other = (import_langfuse(tmp_path / name, "x") for name in ("items.json", "items.csv"))
    assert one.evals[0].items == other.evals[0].items == [{"id": "a", "input": "Capital?", "expected": "Paris"}]
    assert [each.message for each in one.notes] == [each.message for each in other.notes] and len(one.notes) == 2


def test_samples_of_an_inspect_log_are_imported_once_each(tmp_path: Path) -> None:
    common = {"input": "Which?", "choices": ["x", "y"], "target": "B", "scores": {"choice": {}, "own": {}}}
    samples = [{"id": number, "epoch": epoch, **common} for number in (1, 2) for epoch in (1, 2)]
    head = {"eval": {"model": "openai/gpt-4o", "sandbox": "docker"}}
    (tmp_path / "a.json").write_text(json.dumps({**head, "samples": samples}))
    with zipfile.ZipFile(tmp_path / "a.eval", "w", zipfile.ZIP_DEFLATED) as log:
        log.writestr("header.json", json.dumps(head))
        for number, each in enumerate(samples):
            log.writestr(f"samples/{number}.json", json.dumps(each))
    for name in ("a.json", "a.eval"):
        report = import_inspect(tmp_path / name, "x", "auto")
        (found,) = report.evals
        assert [each["id"] for each in found.items] == ["1", "2"] and found.items[0]["input"].endswith("A) x\nB) y")
        assert found.spec["scorers"] == {"choice": {"kind": "choice"}} and found.targets == ["openai/gpt-4o"]
        assert {each.message for each in report.notes} == {"the scorer 'own'", "`sandbox` of the task"}


@pytest.mark.long
def test_a_log_that_unpacks_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.eval", "w", zipfile.ZIP_DEFLATED) as log:
        for number in range(3):
            log.writestr(f"samples/{number}.json", b" " * 100_000_000)
    with pytest.raises(ImportRefused):
        import_inspect(tmp_path / "bomb.eval", "x", "auto")


def test_an_eval_of_openai_is_imported_with_its_criteria(tmp_path: Path) -> None:
    same = {"type": "string_check", "name": "same", "operation": "eq", "reference": "{{ item.answer }}"}
    kind = {"type": "label_model", "name": "kind", "passing_labels": ["kind"]}
    asked = {"role": "developer", "content": "Is {{sample.output_text}} kind?"}
    template = [{"role": "user", "content": "Capital of {{ item.country }}?"}]
    rows = [{"item": {"country": "France", "answer": "Paris"}}]
    exported = {
        "testing_criteria": [
            {**same, "input": "{{ sample.output_text }}"},
            {**kind, "input": [asked]},
            {"type": "python", "name": "code", "source": "import os"},
        ],
        "data_source": {
            "model": "gpt-4o",
            "input_messages": {"type": "template", "template": template},
            "source": {"type": "file_content", "content": rows},
        },
    }
    (tmp_path / "eval.json").write_text(json.dumps(exported))
    report = import_openai_evals(tmp_path / "eval.json", "x", "a/judge")
    (found,) = report.evals
    (item,) = found.items
    assert item["input"] == [{"role": "user", "content": "Capital of France?"}]
    assert item["checks"] == [{"kind": "exact", "case_sensitive": True, "expected": "Paris"}]
    assert "Is the answer kind?" in item["criteria"] and "It would be labeled: kind" in item["criteria"]
    assert [each.message for each in report.notes] == ["the criterion 'code' of the type 'python'"]
    assert build_spec({**found.spec, "data": "x"}).scorers["meets"].model == "a/judge"
    (tmp_path / "samples.jsonl").write_text('{"input": [{"role": "user", "content": "1+1"}], "ideal": ["2", "two"]}\n')
    (plain,) = import_openai_evals(tmp_path / "samples.jsonl", "y", "auto").evals
    assert plain.items[0]["expected"] == ["2", "two"] and plain.spec["scorers"] == {"right": {"kind": "contains"}}
    (tmp_path / "samples.csv").write_text('input,ideal\n1+1,"[""2"", ""two""]"\nCapital of France?,Paris\n')
    (table,) = import_openai_evals(tmp_path / "samples.csv", "z", "auto").evals
    assert [(each["input"], each["expected"]) for each in table.items] == [
        ("1+1", ["2", "two"]),
        ("Capital of France?", "Paris"),
    ]


@pytest.mark.long
def test_an_imported_eval_is_a_file_that_runs_and_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    promptfoo(folder)
    home, words = tmp_path / "home", ("import", "promptfoo", str(folder / "promptfooconfig.yaml"))
    home.mkdir()
    done = sizewise(*words, home=home)
    assert done.code == 0 and "not carried: promptfooconfig.yaml:18: " in done.err, done.err
    assert (home / "evals" / "pirate.prompts-1.yaml").read_text().startswith("# Imported.")
    assert [each["items"] for each in sizewise("eval", "list", "--json", home=home).json["evals"]] == [4, 4]
    again = sizewise(*words, home=home)
    assert again.code == 2 and "--replace" in again.err
    assert sizewise(*words, "--replace", "--strict", home=home).code == 1


@pytest.mark.parametrize("to", ["langfuse", "openai-evals", "promptfoo"])
def test_what_is_exported_is_imported_as_it_was(to: ItemFormat, tmp_path: Path) -> None:
    data, out = tmp_path / "x.jsonl", tmp_path / ("out.jsonl" if to == "openai-evals" else "out.json")
    data.write_text("".join(json.dumps(each) + "\n" for each in ITEMS))
    items = read_items(data).items
    rows: Any = export_items(items, to)
    out.write_text("".join(json.dumps(each) + "\n" for each in rows) if to == "openai-evals" else json.dumps(rows))
    assert lost_fields(ITEMS, to) == {"tags": 1} | ({"id": 3} if to == "openai-evals" else {})
    if to == "promptfoo":
        found = promptfoo(tmp_path, "prompts: ['{{input}}']\ntests: file://out.json\n").evals[0].items
        assert [each["input"] for each in found] == [ITEMS[0]["input"], items[1].question(), ITEMS[2]["input"]]
        assert found[1]["checks"][0]["expected"] == ["4", "four"] and "checks" not in found[2]
        return
    report = import_langfuse(out, "y") if to == "langfuse" else import_openai_evals(out, "y", "auto")
    data.write_text("".join(json.dumps(each) + "\n" for each in report.evals[0].items))
    again = read_items(data).items
    assert [(each.messages(), each.expected) for each in again] == [(each.messages(), each.expected) for each in items]
