"""Files that are meant to do harm, or are merely broken, are refused in words, soon, and without running anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from sizewise.lamatic import file_formats, importer, project_files, typescript_literals
from sizewise.lamatic.canvas import LamaticFileError
from tests.growth import check_linear
from tests.lamatic import sample_files

HEAD = "triggerNode: {nodeId: t, nodeType: graphqlNode, values: {}}\n"
BOMB = HEAD + "nodes:\n" + "- &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"- &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)  # fmt: skip
NESTS = HEAD + "nodes:\n" + "- &a0 " + "[" * 50 + "]" * 50 + "\n" + "".join(
    f"- &a{n} {'[' * 30}*a{n - 1}{']' * 30}\n" for n in range(1, 40)
)  # fmt: skip
LAUGHS = "const a = [1,1,1,1,1,1,1,1,1,1];" + "".join(
    f"const a{'a' * n} = [{','.join(['a' * n] * 10)}];" for n in range(1, 9)
)


def refusal(name: str, text: str, find: project_files.FileLookup = project_files.no_files) -> str:
    with pytest.raises(LamaticFileError) as refused:
        file_formats.parse_file(name, text, find)
    assert refused.value.hint
    return str(refused.value.message)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", BOMB, "more than 100000 values"),
        ("a.yaml", NESTS, "deeper than 64 levels"),
        ("a.yaml", HEAD + "nodes: &a [*a]", "is not defined"),
        ("a.yaml", HEAD + "nodes: " + "[" * 100_000, "maximum nesting depth"),
        ("a.yaml", "nodes: []\n" + "x" * 2_000_000, "larger than"),
        ("a.yaml", "nodes: !!python/object/apply:os.system [id]", "tags"),
        ("a.yaml", "a: {b", "this is not valid YAML"),
        ("a.yaml", "name: ours\nnodes: {a: {kind: ask}}\n", "the file contains no Lamatic flow"),
        ("a.yaml", HEAD + "nodes: [" + "{nodeId: a, nodeType: b}, " * 1_001 + "]", "more than 1000 nodes"),
        ("a.json", "[" * 100_000, "deeper than 64 levels"),
        ("a.json", "{" * 100_000, "an object is not closed"),
("a.json", '{"nodes": 7}', "the file contains no nodes"),
        ("a.ts", "export const nodes = " + "[" * 100_000, "deeper than 64 levels"),
        ("a.ts", "export const nodes = " + "(" * 100_000, "deeper than 64 levels"),
        ("a.ts", "export const nodes = `" + "${`" * 100_000, "deeper than 64 levels"),
        ("a.ts", LAUGHS, "more than 200000 values"),
        ("a.ts", "const a = `" + "x" * 500_000 + "`;" + "const b = `${a}${a}`;" * 100, "texts together are longer"),
        ("a.ts", "export const nodes = 'never closed", "a string is not closed"),
        ("a.ts", "export const nodes = make();", "the file contains no nodes"),
        ("a.ts", "x" * 3_000_000, "longer than"),
        ("a.txt", "hello", "not a flow file"),
    ],
    ids=range(21),
)  # fmt: skip
def test_what_is_too_much_or_broken_is_refused(name: str, text: str, says: str) -> None:
    assert says in refusal(name, text)


def _llm(**values: object) -> str:
    node = {
        "id": "l",
        "type": "dynamicNode",
        "data": {"nodeId": "LLMNode", "values": {"prompts": [{"role": "user", "content": "x"}], **values}},
    }
    return f"export const nodes = {json.dumps([node])};\nexport const edges = [];\n"


@pytest.mark.parametrize("path", ["../../etc/passwd", "a/../../../b.md", "..\\x.md", "./../x.md"])
def test_no_reference_leads_out_of_the_project(path: str) -> None:
    asked: list[str] = []

    def find(name: str) -> str | None:
        asked.append(name)
        return "the secret"

    text = _llm(prompts=[{"role": "user", "content": f"@prompts/{path}"}])
    try:
        made = importer.import_flow(file_formats.parse_file("flows/a.ts", text, find)[1])
        assert "the secret" not in made.text
    except LamaticFileError as refused:
        assert "is outside the project" in refused.message
    assert not [name for name in asked if ".." in name or name.startswith("/")]
    assert "is outside the project" in refusal("flows/a.ts", "import x from '../../../x';\n" + _llm(), find)


def test_files_that_import_each_other_are_refused() -> None:
    there = {"flows/b.ts": "import a from './a'; export default [a];", "flows/a.ts": "import b from './b';\n" + _llm()}
    assert "circular imports: flows/a.ts → flows/b.ts → flows/a.ts" in refusal(
        "flows/a.ts",
        there["flows/a.ts"],
        there.get,
    )


def test_references_to_more_files_than_one_flow_has_are_refused() -> None:
    prompts = [{"role": "user", "content": f"@prompts/{n}.md"} for n in range(201)]
    assert "more than 200 files" in refusal("flows/a.ts", _llm(prompts=prompts), lambda name: "x")


@pytest.mark.parametrize(
    ("value", "files", "says"),
    [
        (["@model-configs/NEXT.ts"] * 20, 10, "is larger than"),
        ("@prompts/long.md", 1, "is larger than"),
        (["@prompts/long.md"] * 20, 1, "is larger than"),
        (json.loads("[" * 30 + '"@model-configs/NEXT.ts"' + "]" * 30), 10, "is deeper than 64 levels"),
        ("@model-configs/NEXT.ts", 100, "is deeper than 64 levels"),
    ],
    ids=["fan out", "one text again and again", "a list of a text", "nested", "a chain"],
)
def test_references_that_multiply_are_refused(value: object, files: int, says: str) -> None:
    """Each of the files `model-configs/N.ts` refers to the next one, up to the last."""

    def find(path: str) -> str:
        if path.endswith(".md"):
            return "x" * 1_000_000 + "\n"
        following = int(path.removeprefix("model-configs/").removesuffix(".ts")) + 1
        found = value if following <= files else "the end"
        return f"export default {json.dumps({'memories': found}).replace('NEXT', str(following))};\n"

    assert says in refusal("flows/a.ts", _llm(memories=["@model-configs/0.ts"] * 20), find)


def test_code_in_a_typescript_file_is_never_run_and_what_it_would_give_is_named() -> None:
    text = (
        "import { nodes as other } from './other'\n"
        "const key = process.env.KEY; function f() { return '}' + `}${`}`}` + /[}]/ }\n"
        "export const nodes = [{ id: 'l', type: 'dynamicNode', data: { nodeId: 'LLMNode', values: {\n"
        "  prompts: [{ role: 'user', content: f() }] } } }, ...other, key, () => 1];\nexport const edges = [];\n"
    )
    made = importer.import_flow(file_formats.parse_file("flows/a.ts", text)[1])
    named = [str(each) for each in made.notes if each.grade == "named"]
    assert named[-1] == "l (LLMNode): `prompts` is not a literal (line 4: an expression). Write the value out."
    assert any("one of the nodes is not a literal (line 4: a spread)" in each for each in named)


def test_lines_that_go_in_a_circle_are_told_and_left_out() -> None:
    nodes = [sample_files.code("a", "output = 1;", "c"), sample_files.code("b", "output = {{a.output}};", "a"),
             sample_files.code("c", "output = {{b.output}};", "b")]  # fmt: skip
    made = importer.import_flow(
        file_formats.parse_file(
            "x.json",
            sample_files.management(sample_files.Flow("x", "a", nodes, {"x": "{{c.output}}"}))["x.json"],
        )[1],
    )
    assert [each.node for each in made.notes if "circle" in each.message] == ["a"]
    assert "after" not in made.data["nodes"]["a"]


def test_every_part_takes_time_that_grows_with_the_file() -> None:
    def script_(n: int) -> None:
        typescript_literals.parse_module("export default [" + "{ a: 'x', b: [1, `y${1}`] }, // c\n" * n + "];")

    def slashes(n: int) -> None:
        typescript_literals.parse_module("export const a = 1;\nfunction f() {" + "/[/[ `${ '" * n)

    def code(n: int) -> None:
        one("output = [" + "{{t.output.a}}, '{{t.output.b}}', /* {{ */ `${{{t.output.c}}}`,\n" * n + "];")

    def one(text: str) -> None:
        nodes = [sample_files.code("c", text)]
        _, drawing = file_formats.parse_file(
            "x.json",
            sample_files.management(sample_files.Flow("x", "c", nodes, {}))["x.json"],
        )
        importer.import_flow(drawing)

    def nodes(n: int) -> None:
        many = [
            sample_files.llm(f"n{number}", f"{{{{n{number - 1}.output.generatedResponse}}}}", needs=[f"n{number - 1}"])
            for number in range(1, n)
        ]
        flow = sample_files.Flow("x", "n1", [sample_files.llm("n0"), *many], {"x": "{{n1.output.generatedResponse}}"})
        importer.import_flow(file_formats.parse_file("x.json", sample_files.management(flow)["x.json"])[1])

    def braces(n: int) -> None:
        one("output = " + "{{" * n)

    for work, few in ((script_, 300), (slashes, 200), (code, 60), (nodes, 40), (braces, 2_000)):
        check_linear(partial(refused_or_not, work), few)


def refused_or_not(work: Callable[[int], None], n: int) -> None:
    with suppress(LamaticFileError):
        work(n)
