"""Words of others are words: never run, never evaluated, never made into objects, never a path."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import sizewise
from tests.gateway.server_harness import CHAT, Line
from tests.graphql.graphql_client import graphql
from tests.running_server import Served
from tests.walls.source import Source, dotted, planted, stands

TEMPLATES = "{{7*7}} ${7*7} #{7*7} <%= 7*7 %> {{config.__class__}} {%% for x in y %%} {0.__class__} %(x)s %n"
RUNS = ("exec", "eval", "compile", "__import__", "os.system", "os.popen", "runpy.run_path", "code.interact")
OBJECTS = ("pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle", "joblib")
TORCH = ("torch.load", "torch.hub.load", "torch.jit.load", "torch.export.load")
"""Makes objects of a file, but for the first with `weights_only=True`: numbers and lists alone."""
YAML = ("parse", "SafeLoader", "CSafeLoader", "MarkedYAMLError", "reader")
"""What may be used of PyYAML: it tells what stands there, and makes nothing of it."""


def test_05_a_template_in_a_prompt_is_only_a_prompt(served: Served) -> None:
    answer = served.chat("echo/small", TEMPLATES)
    assert TEMPLATES in answer.json["choices"][0]["message"]["content"]  # type: ignore[index]  # a chat
    shown = graphql(
        served,
        'query($p: String) { explain(prompt: $p, model: "echo/small") { why reasons } }',
        p=TEMPLATES,
    )
    assert shown.errors == [] and "49" not in str(shown.data)


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses", "/v1/embeddings", "/graphql"])
@pytest.mark.parametrize("body", [b"{", b"[" * 100_000, b"\xff", b'{"query": "{ nonsense }"}', b""])
def test_09_nothing_of_a_body_is_looked_at_before_it_is_known_who_asks(served: Served, path: str, body: bytes) -> None:
    assert served.ask(path, body, key=None, method="POST").status == 401


def runs(file: Source) -> Iterator[str]:
    """What runs text, or makes objects of it that may do anything."""
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Call) and dotted(node.func) in RUNS:
            yield file.at(node, f"{dotted(node.func)} runs text")
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from (file.at(node, f"{name} makes objects of text") for name in names if name.split(".")[0] in OBJECTS)
        if isinstance(node, ast.ImportFrom) and node.module == "yaml":
            yield file.at(node, "yaml makes objects of text")
        if isinstance(node, ast.Attribute) and dotted(node.value) == "yaml" and node.attr not in YAML:
            yield file.at(node, f"yaml.{node.attr} makes objects of text")
        if isinstance(node, ast.Call) and dotted(node.func) in TORCH and not loads_weights(node):
            yield file.at(node, f"{dotted(node.func)} makes objects of a file")
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield file.at(node, "pickled arrays may do anything")


def loads_weights(call: ast.Call) -> bool:
    safe = any(each.arg == "weights_only" and ast.unparse(each.value) == "True" for each in call.keywords)
    return dotted(call.func) == "torch.load" and safe


@pytest.mark.long
def test_09_nothing_in_the_house_runs_text() -> None:
    stands(runs, "sizewise")


@pytest.mark.parametrize(
    "code",
    [
        "eval('1')",
        "import pickle",
        "from yaml import load",
        "yaml.safe_load(x)",
        "np.load(x, allow_pickle=True)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "torch.hub.load(x, weights_only=True)",
    ],
)
def test_19_the_wall_sees_what_makes_objects_of_text(code: str) -> None:
    assert planted(runs, code)


@pytest.mark.parametrize(
    "line",
    [
        "base_url = \"${__import__('os').system('touch pwned')}\"",
        'base_url = "http://127.0.0.1:9/v1"\nkey = "env:$(touch pwned)"',
        'base_url = "http://127.0.0.1:9/v1"\nkey = "exec:touch pwned"',
        'wire = "os:system"',
        'wire = "sizewise.process:start_module"',
        'base_url = "http://127.0.0.1:9/v1"\nheaders = {x = "`touch pwned`"}\n'
        'rename_params = {"__class__" = "touch pwned"}',
    ],
)
def test_13_settings_are_text_and_an_evaluator_reads_none_of_them(tmp_path: Path, line: str) -> None:
    (tmp_path / "sizewise.toml").write_text(f'[providers.x]\n{line}\nmodels = ["m"]\n')
    done = sizewise("models", "list", "--json", home=tmp_path)
    assert done.code in (0, 2) and not list(tmp_path.rglob("pwned"))


PATHS: tuple[str, ...] = (
    "../../../../etc/passwd",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "..\\..\\etc\\passwd",
)
PATHS += (
    "/etc/passwd",
    "%00",
    "....//....//etc/passwd",
    "..%c0%af..%c0%afetc/passwd",
    "file:%2f%2f/etc/passwd",
    "~root/.ssh",
)


@pytest.mark.parametrize("path", PATHS)
def test_19_a_name_in_a_path_is_a_name_and_not_a_way(served: Served, path: str) -> None:
    for before, after in (("/v1/models/", ""), ("/v1/responses/", ""), ("/v1/responses/", "/input_items"), ("/", "")):
        for method in ("GET", "DELETE"):
            with Line(served) as line:
                line.say(line.request(before + path + after, method=method))
                answer = line.answer()
            assert answer.status in (400, 404, 405) and b"root:" not in answer.body, answer.body


@pytest.mark.parametrize("path", PATHS)
def test_19_nor_in_a_body(served: Served, path: str) -> None:
    for body in ({"model": path}, {"model": "auto", "sizewise": {"policy": path}}, {"model": f"auto:{path}"}):
        asked = {**body, "messages": [{"role": "user", "content": "hi"}]}
        assert served.ask(CHAT, asked).status in (400, 404)
    on = {"model": "echo/small", "input": "hi", "previous_response_id": path}
    assert served.ask("/v1/responses", on).status == 404
