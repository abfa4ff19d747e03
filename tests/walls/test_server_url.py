"""SIZEWISE_URL is the root of a server, on every page and in every example: an SDK's base URL is that and /v1."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

import pytest

from sizewise.settings.load import server_root
from tests.walls.source import ROOT, committed
from tests.walls.test_docs import BLOCKS, name

ROOT_URL = "http://127.0.0.1:8080"
KEYWORDS = ("base_url", "api_base")
WITHOUT_V1 = re.compile(r"anthropic", re.IGNORECASE)
"""Anthropic's SDKs add /v1 themselves."""
SERVER_PATHS = r"v1(?:/|$)|graphql|openapi\.json|healthz|readyz|metrics|mcp|hooks|auth|widget|play|\?|$"
TEXTS = [(name(block), block.kind, block.text) for block in BLOCKS] + [
    (path.relative_to(ROOT).as_posix(), "python" if path.suffix == ".py" else "bash", path.read_text())
    for suffix in (".py", ".sh")
    for path in committed(suffix)
    if path.is_relative_to(ROOT / "examples")
]


def wrong_uses(kind: str, text: str) -> Iterator[str]:
    """Uses of the server's URL that mean something else than its root."""
    for said in re.findall(r"SIZEWISE_URL=[\"']?([^\s\"']+)", text):
        if not said.startswith("$") and said != server_root(said):
            yield f"SIZEWISE_URL={said} is not the root of a server"
    for rest in re.findall(r"\$\{?SIZEWISE_URL(?::-[^}]*)?\}?\"?/([^\s\"'`]*)", text):
        if not re.match(SERVER_PATHS, rest):
            yield f"$SIZEWISE_URL/{rest} is no path below the root of a server"
    if kind == "bash" and re.search(r"\$\{?(?!SIZEWISE_|OPENAI_|ANTHROPIC_)(\w*_)?URL\b", text):
        yield "a server's URL is called SIZEWISE_URL"
    if kind == "python":
        yield from _wrong_clients(ast.parse(text))
    if kind == "javascript":
        for said in re.findall(r"baseURL:\s*(`[^`]*`|[^,}\n]+)", text):
            if "SIZEWISE_URL" in said and "/v1" not in said:
                yield f"baseURL: {said} has no /v1"


def _wrong_clients(tree: ast.Module) -> Iterator[str]:
    known: dict[str, str | None] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            known |= {each.id: _value(node.value, known) for each in node.targets if isinstance(each, ast.Name)}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            for keyword in call.keywords:
                url = _value(keyword.value, known) if keyword.arg in KEYWORDS else None
                wanted = ROOT_URL if WITHOUT_V1.search(ast.unparse(call.func)) else f"{ROOT_URL}/v1"
                if url is not None and url.startswith(ROOT_URL) and url != wanted:
                    yield f"{ast.unparse(call.func)}({keyword.arg}={url!r}) instead of {wanted!r}"


def _value(node: ast.expr, known: Mapping[str, str | None]) -> str | None:
    """The text that an expression is where SIZEWISE_URL is ROOT_URL; None where it cannot be told."""
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp):
        parts = [_value(node.left, known), _value(node.right, known)]
    elif isinstance(node, ast.JoinedStr):
        parts = [_value(each.value if isinstance(each, ast.FormattedValue) else each, known) for each in node.values]
    else:
        return ROOT_URL if "environ" in ast.unparse(node) and "SIZEWISE_URL" in ast.unparse(node) else None
    return None if None in parts else "".join(filter(None, parts))


def test_pages_and_examples_give_the_url_one_meaning() -> None:
    assert [f"{where}: {wrong}" for where, kind, text in TEXTS for wrong in wrong_uses(kind, text)] == []


def test_the_url_is_found_in_pages_and_examples() -> None:
    assert len([where for where, _, text in TEXTS if "SIZEWISE_URL" in text]) >= 6
    assert sum("base_url=" in text for _, kind, text in TEXTS if kind == "python") >= 12


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bash", "export SIZEWISE_URL=http://127.0.0.1:8080/v1"),
        ("console", "$ SIZEWISE_URL=http://127.0.0.1:8080/ python x.py"),
        ("bash", 'curl "$SIZEWISE_URL/chat/completions"'),
        ("bash", "curl ${SIZEWISE_URL:-http://127.0.0.1:8080}/models"),
        ("bash", "curl $URL/v1/models"),
        ("python", 'import os\nclient = OpenAI(base_url=os.environ["SIZEWISE_URL"], api_key="x")'),
        ("python", 'import os\nurl = os.environ["SIZEWISE_URL"]\nclient = AsyncOpenAI(base_url=url)'),
        ("python", 'client = OpenAI(base_url="http://127.0.0.1:8080")'),
        ("python", 'import os\nclient = Anthropic(base_url=os.environ["SIZEWISE_URL"] + "/v1")'),
        ("javascript", "const client = new OpenAI({ baseURL: process.env.SIZEWISE_URL, apiKey });"),
    ],
)
def test_another_meaning_is_seen(kind: str, text: str) -> None:
    assert list(wrong_uses(kind, text))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("bash", "export SIZEWISE_URL=http://127.0.0.1:8080\ncurl $SIZEWISE_URL/v1/models"),
        ("bash", 'export OPENAI_BASE_URL="$SIZEWISE_URL/v1"\ncurl "$SIZEWISE_URL/graphql"'),
        ("python", 'import os\nurl = os.environ["SIZEWISE_URL"]\nclient = OpenAI(base_url=f"{url}/v1")'),
        ("python", 'import os\nclient = Anthropic(base_url=os.environ["SIZEWISE_URL"])'),
        ("javascript", "const client = new OpenAI({ baseURL: `${process.env.SIZEWISE_URL}/v1`, apiKey });"),
    ],
)
def test_its_one_meaning_passes(kind: str, text: str) -> None:
    assert list(wrong_uses(kind, text)) == []


@pytest.mark.parametrize(
    ("said", "root"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://ai.example/v1", "https://ai.example"),
        (" https://ai.example/team/v1/ ", "https://ai.example/team"),
        ("https://ai.example/dev1", "https://ai.example/dev1"),
        ("https://v1", "https://v1"),
        ("", ""),
    ],
)
def test_commands_leave_out_the_v1_that_sdks_want(said: str, root: str) -> None:
    assert server_root(said) == root
