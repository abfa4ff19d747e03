"""Prompts by id, through the front door: SDKs, flows, evals, commands, records, and what goes wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.cli.terminal import sizewise
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Answer, Served, serving, until

CANARY = "Kanarienvogel-8150"
ASK = """---
description: Asks for the capital of a country
role: user
variables:
  country: text
  words: {type: integer, default: 3}
---
Name the capital of {{ country }} in {{ words }} words.
"""
FLOW = """
name: capital
inputs: {country: text}
nodes:
  answer: {kind: ask, model: echo/small, prompt_id: capital, variables: {country: "{{ inputs.country }}"}}
outputs: {answer: "{{ answer.text }}"}
"""
FIND = "query($trace: String!) { records(filter: {trace: $trace}) { rows { prompts { id version } } } }"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("prompts")
    for folder, name, text in (("prompts", "capital.md", ASK), ("flows", "capital.yaml", FLOW)):
        (home / folder).mkdir()
        (home / folder / name).write_text(text)
    with serving(home, ECHO) as served:
        yield served


def write(server: Served, id: str, text: str) -> None:
    (server.home / "prompts" / f"{id}.md").write_text(text)


def ask(server: Served, prompt: object, model: str = "echo/small", messages: object = ()) -> Answer:
    return server.ask("/v1/chat/completions", {"model": model, "messages": messages, "sizewise": {"prompt": prompt}})


def text(answer: Answer) -> str:
    body: Any = answer.json
    return str(body["choices"][0]["message"]["content"])


def version(server: Served, id: str) -> str:
    return str(sizewise("prompt", "show", id, "--json", home=server.home).json["version"])


def test_an_sdk_asks_by_id_and_the_record_names_the_version(server: Served) -> None:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key=server.key, max_retries=0) as api:
        shown = api.responses.create(
            model="echo/small", prompt={"id": "capital", "variables": {"country": "Peru {{ words }}"}}
        )
        chat = api.chat.completions.with_raw_response.create(
            model="echo/small",
            messages=[],
            extra_body={"sizewise": {"prompt": {"id": "capital", "variables": {"country": "Peru", "words": 1}}}},
        )
    assert shown.output_text == "Name the capital of Peru {{ words }} in 3 words."
    assert chat.parse().choices[0].message.content == "Name the capital of Peru in 1 words."
    trace = chat.headers["x-sizewise-trace"]
    used = [{"id": "capital", "version": version(server, "capital")}]
    assert graphql(server, FIND, trace=trace).data["records"]["rows"] == [{"prompts": used}]
    assert used[0]["version"] in sizewise("records", trace, home=server.home).out


def test_a_saved_file_is_live_and_a_wrong_one_changes_nothing(server: Served) -> None:
    write(server, "changing", "---\nrole: user\n---\nFirst")
    assert text(ask(server, "changing")) == "First"
    write(server, "changing", "---\nrole: user\n---\nSecond one")
    assert text(ask(server, "changing")) == "Second one"
    write(server, "changing", "---\nrole: boss\n---\nThird")
    assert text(ask(server, "changing")) == "Second one"
    found = sizewise("prompt", "check", "changing", home=server.home)
    assert found.code == 1 and "`role`" in found.out
    (server.home / "prompts" / "changing.md").unlink()
    assert ask(server, "changing").status == 404


@pytest.mark.long
@pytest.mark.parametrize(
    ("prompt", "status", "said"),
    [
        ("capitol", 404, "Did you mean 'capital'?"),
        ("../sizewise", 404, "without .md"),
        ("", 404, "without .md"),
        ("capital", 400, "needs the variable 'country'"),
        ({"id": "capital", "variables": {"country": 7}}, 400, "not of type text"),
        ({"id": "capital", "variables": {"country": "Peru", "words": "many"}}, 400, "not of type integer"),
        ({"id": "capital", "variables": {"country": "Peru", "words": True}}, 400, "not of type integer"),
        ({"id": "capital", "variables": {"country": "Peru", "colour": "red"}}, 400, "has no variable 'colour'"),
        ({"id": "capital", "version": "0" * 64, "variables": {"country": "Peru"}}, 404, "the live version is"),
        ({"id": "capital", "version": "", "other": 1}, 400, "other"),
        ({"id": 7}, 400, "sizewise"),
        (7, 400, "sizewise"),
    ],
)
def test_what_is_wrong_with_a_prompt_is_said_with_the_next_step(
    server: Served, prompt: object, status: int, said: str
) -> None:
    answer = ask(server, prompt, messages=[{"role": "user", "content": CANARY}])
    assert answer.status == status and said in json.dumps(answer.error, ensure_ascii=False)
    assert answer.error["hint"] and CANARY not in json.dumps(answer.error)


@pytest.mark.long
def test_messages_may_be_empty_only_with_a_prompt(server: Served) -> None:
    assert server.ask("/v1/chat/completions", {"model": "echo/small", "messages": []}).status == 400
    missing = server.ask("/v1/responses", {"model": "echo/small"})
    assert missing.status == 400 and "input" in missing.error["message"]
    assert server.ask("/v1/responses", {"input": "Hello"}).status == 400
    theirs = server.ask("/v1/responses", {"model": "echo/small", "prompt": {"id": "pmpt_1"}})
    assert theirs.status == 400 and "upstream" in theirs.error["message"]


@pytest.mark.long
def test_a_prompt_chooses_the_model_that_the_request_leaves_open(server: Served) -> None:
    write(server, "large", "---\nrole: user\nmodel: echo/large\n---\nHello")
    assert ask(server, "large", model="auto").headers["x-sizewise-model"] == "echo/large"
    assert ask(server, "large", model="echo/small").headers["x-sizewise-model"] == "echo/small"
    shown = server.ask("/v1/responses", {"prompt": {"id": "large"}})
    assert shown.headers["x-sizewise-model"] == "echo/large"
    body: Any = shown.json
    assert body["prompt"] == {"id": "large"}


@pytest.mark.long
def test_a_prompt_as_a_header_and_with_a_pinned_version(server: Served) -> None:
    write(server, "pinned", "---\nrole: user\n---\nPinned")
    hello = {"model": "echo/small", "messages": [{"role": "user", "content": "Hello"}]}
    assert text(server.ask("/v1/chat/completions", hello, x_sizewise_prompt="pinned")) == "Pinned"
    named = f"pinned@{version(server, 'pinned')[:12]}"
    assert text(server.ask("/v1/chat/completions", hello, x_sizewise_prompt=named)) == "Pinned"
    write(server, "pinned", "---\nrole: user\n---\nChanged")
    assert server.ask("/v1/chat/completions", hello, x_sizewise_prompt=named).status == 404


@pytest.mark.long
def test_the_messages_api_and_token_counts_take_a_prompt(server: Served) -> None:
    hello = [{"role": "user", "content": "Hello"}]
    option = {"prompt": {"id": "capital", "variables": {"country": "Peru"}}}
    body = {"model": "echo/small", "max_tokens": 99, "messages": hello, "sizewise": option}
    shown: Any = server.ask("/v1/messages", body).json
    assert shown["content"][0]["text"].endswith("Name the capital of Peru in 3 words.")
    counted = [
        server.ask("/v1/messages/count_tokens", {**body, "sizewise": said}).json["input_tokens"]  # type: ignore[index]  # any JSON
        for said in (option, {})
    ]
    assert counted[0] > counted[1]


@pytest.mark.long
def test_a_flow_uses_a_prompt_and_its_record_names_it(server: Served) -> None:
    until(lambda: server.chat("flow:capital", "Peru").status == 200)
    answer = server.chat("flow:capital", "Peru")
    assert text(answer) == "Name the capital of Peru in 3 words."
    rows = graphql(server, FIND, trace=answer.headers["x-sizewise-trace"]).data["records"]["rows"]
    assert {"id": "capital", "version": version(server, "capital")} in [use for row in rows for use in row["prompts"]]
    (server.home / "flows" / "odd.yaml").write_text(FLOW.replace("prompt_id: capital", "prompt_id: capitel"))
    warned = sizewise("flow", "check", str(server.home / "flows" / "odd.yaml"), home=server.home)
    assert "there is no prompt 'capitel'" in warned.out
    (server.home / "flows" / "odd.yaml").unlink()


@pytest.mark.long
def test_an_eval_measures_the_prompt_of_the_working_tree(server: Served) -> None:
    folder = server.home / "evals"
    folder.mkdir()
    (folder / "capital.yaml").write_text(
        "target: {model: echo/small, prompt: capital}\ndata: capital.jsonl\nscorers: {right: contains}\n"
    )
    items = [{"id": name, "variables": {"country": name}, "expected": name} for name in ("Peru", "Chile")]
    (folder / "capital.jsonl").write_text("\n".join(map(json.dumps, items)))
    run = sizewise("eval", "run", "capital", "--json", home=server.home)
    assert run.code == 0, run.out
    (file,) = (folder / ".runs" / "capital").glob("*.jsonl")
    head = json.loads(file.read_text().splitlines()[0])
    assert head["prompt"] == f"capital@{version(server, 'capital')}"
    results = [json.loads(line) for line in file.read_text().splitlines()[1:]]
    assert [each["scores"]["right"]["value"] for each in results] == [1.0, 1.0], results


@pytest.mark.long
def test_another_project_does_not_see_the_prompts_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "capital.md").write_text(ASK)
    with serving(tmp_path, f"{ECHO}[projects.other]\n") as served:
        made = sizewise("keys", "create", "other", "--project", "other", "--json", home=tmp_path)
        assert made.code == 0, made.out
        body = {
            "model": "echo/small",
            "messages": [],
            "sizewise": {"prompt": {"id": "capital", "variables": {"country": "Peru"}}},
        }
        assert served.ask("/v1/chat/completions", body).status == 200
        assert served.ask("/v1/chat/completions", body, key=made.json["secret"]).status == 404


@pytest.mark.long
def test_the_text_of_a_prompt_is_in_no_log_and_no_file_of_ours(server: Served) -> None:
    write(server, "hidden", f"---\nrole: user\n---\n{CANARY} {{{{ word }}}}")
    assert CANARY in text(ask(server, {"id": "hidden", "variables": {"word": "x"}}))
    assert ask(server, "hidden").status == 400
    write(server, "hidden", f"---\nrole: user\n---\n{CANARY} {{{{ oh")
    ask(server, {"id": "hidden", "variables": {"word": "x"}})
    files = [path for path in server.home.rglob("*") if path.is_file() and path.suffix != ".md"]
    assert files and not any(CANARY.encode() in path.read_bytes() for path in files)
    assert CANARY not in "".join(server.said)


@pytest.mark.long
def test_commands_list_show_and_render(server: Served) -> None:
    listed = sizewise("prompt", home=server.home).out
    assert "capital" in listed and "country words" in listed
    rendered = sizewise("prompt", "render", "capital", "--var", "country=Peru", "-v", "words=2", home=server.home)
    assert rendered.out == "Name the capital of Peru in 2 words.\n"
    for wrong in (("country",), ("words=two",), ("country=Peru", "words=[]")):
        values = [word for each in wrong for word in ("--var", each)]
        assert sizewise("prompt", "render", "capital", *values, home=server.home).code == 2
    assert "did you mean" in sizewise("prompt", "show", "capitol", home=server.home).err.lower()


@pytest.mark.long
def test_graphql_shows_prompts_and_their_text_by_permission(server: Served) -> None:
    found = graphql(server, "{ prompts { id version error variables { name type required default } } }").data["prompts"]
    (capital,) = [each for each in found if each["id"] == "capital"]
    assert capital["version"] == version(server, "capital") and capital["error"] is None
    assert capital["variables"] == [
        {"name": "country", "type": "text", "required": True, "default": None},
        {"name": "words", "type": "integer", "required": False, "default": 3},
    ]
    assert graphql(server, '{ prompt(id: "nothing") { id } }').data["prompt"] is None
