"""`models = ["*"]` and aliases: as a provider lists them, in every list, under every rule and in the records."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.cli.terminal import sizewise
from tests.gateway.server_harness import booked, closed_port, refused
from tests.graphql.graphql_client import graphql
from tests.running_server import ECHO, Answer, Served, serving, until

LISTED = ["big-chat", "gpt-4o", "text-embedding-3-small", "whisper-1", "dall-e-3", "tts-1", "omni-moderation-latest"]
KEY = "sk-upstream-secret-0123456789"


class ListingUpstream:
    """Lists `models` and answers chats with the model's name. `asked`: method, path and authorization of requests.

    A list waits for `may_answer`; `waiting` is set meanwhile.
    """

    def __init__(self) -> None:
        self.models: Any = LISTED
        self.status = 200
        self.asked: list[tuple[str, str, str]] = []
        self.waiting, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if not outer.may_answer.is_set():
                    outer.waiting.set()
                    outer.may_answer.wait(60)
                self.answer(outer.status, {"object": "list", "data": [{"id": each} for each in outer.models]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if self.path.endswith("/embeddings"):
                    return self.answer(200, {"data": [{"index": 0, "embedding": [1.0]}], "model": body["model"]})
                message = {"role": "assistant", "content": f"I am {body['model']}"}
                choice = {"index": 0, "message": message, "finish_reason": "stop"}
                self.answer(200, {"id": "x", "object": "chat.completion", "model": body["model"], "choices": [choice]})

            def answer(self, status: int, shown: object) -> None:
                outer.asked.append(
                    (self.command, self.path, self.headers.get("authorization") or self.headers["x-api-key"])
                )
                data = json.dumps(shown).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> ListingUpstream:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def up() -> Iterator[ListingUpstream]:
    with ListingUpstream() as upstream:
        yield upstream


def settings(url: str, *, models: str = '["*"]', more: str = "") -> str:
    provider = f'[providers.vendor]\nbase_url = "{url}"\nkey = "env:VENDOR_KEY"\nplace = "machine"\nmodels = {models}\n'
    provider += "timeouts = {first_byte_s = 0.5}\n"
    return f"{ECHO}{provider}{more}"


def listed(served: Served, key: str = "") -> list[str]:
    return [each["id"] for each in json.loads(served.ask("/v1/models", key=key).body)["data"]]


def text(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return str(json.loads(answer.body)["choices"][0]["message"]["content"])


def scoped_key(served: Served, *models: str) -> str:
    query = 'mutation($m: [String!]) { createKey(name: "t", permissions: [ask], models: $m) { secret } }'
    made = graphql(served, query, m=list(models))
    assert made.errors == []
    return str(made.data["createKey"]["secret"])


@pytest.mark.long
def test_all_models_that_a_provider_lists_can_be_used_and_seen(up: ListingUpstream, tmp_path: Path) -> None:
    with serving(tmp_path, settings(up.url), VENDOR_KEY=KEY) as served:
        assert up.asked == [("GET", "/v1/models", f"Bearer {KEY}")], "asked once, at start"
        assert "".join(served.said) == ""
        names = [each for each in listed(served) if each.startswith("vendor/")]
        assert names == ["vendor/big-chat", "vendor/gpt-4o", "vendor/text-embedding-3-small"]
        assert text(served.chat("vendor/gpt-4o")) == "I am gpt-4o"
        assert text(served.chat("big-chat")) == "I am big-chat", "by its short name too"
        assert served.ask("/v1/embeddings", {"model": "vendor/text-embedding-3-small", "input": "a"}).status == 200
        refused(served.chat("vendor/unlisted"), 404, "model_not_found")
        one = json.loads(served.ask("/v1/models/vendor/gpt-4o").body)
        assert one["owned_by"] == "vendor" and one["sizewise"]["place"] == "machine"
        out = sizewise("models", "list", home=tmp_path, SIZEWISE_KEY=served.key).out
        assert "vendor/gpt-4o" in out and "*" not in out
        key = scoped_key(served, "vendor/big-chat")
        assert [each for each in listed(served, key) if "/" in each] == ["vendor/big-chat"]
        body = {"model": "vendor/gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
        refused(served.ask("/v1/chat/completions", body, key=key), 403, "forbidden")
    assert KEY.encode() not in (tmp_path / "offered-models.json").read_bytes()


@pytest.mark.long
def test_a_list_is_received_again_by_a_reload_and_kept_while_the_provider_is_away(
    up: ListingUpstream, tmp_path: Path
) -> None:
    with serving(tmp_path, settings(up.url), VENDOR_KEY=KEY) as served:
        up.models = ["newer", "x" * 201, "with space", "tab\t", "newer"]
        served.process.send_signal(1)
        until(lambda: "vendor/newer" in listed(served))
        assert [each for each in listed(served) if each.startswith("vendor/")] == ["vendor/newer"]
        up.status = 500
    with serving(tmp_path, settings(up.url), VENDOR_KEY=KEY) as served:
        said = "".join(served.said)
        assert "provider 'vendor' did not list its models: status 500; the 1 models of its last list" in said
        assert KEY not in said and text(served.chat("vendor/newer")) == "I am newer"


@pytest.mark.long
def test_the_newest_settings_win_although_an_earlier_reload_ends_later(up: ListingUpstream, tmp_path: Path) -> None:
    patient = settings(up.url).replace("first_byte_s = 0.5", "first_byte_s = 60")
    with serving(tmp_path, patient, VENDOR_KEY=KEY) as served, ThreadPoolExecutor(1) as pool:
        up.may_answer.clear()
        earlier = pool.submit(graphql, served, "mutation { reload { models } }")
        assert up.waiting.wait(60)
        (tmp_path / "sizewise.toml").write_text(ECHO)
        served.process.send_signal(1)
        assert served.ask("/healthz").status == 200, "the signal is handled by now"
        up.may_answer.set()
        assert "vendor/gpt-4o" in earlier.result().data["reload"]["models"]
        until(lambda: "vendor/gpt-4o" not in listed(served))


@pytest.mark.long
@pytest.mark.parametrize("trouble", ["away", "401", "not a list", "silent"])
def test_a_provider_that_cannot_list_its_models_is_named_and_the_rest_starts(
    up: ListingUpstream, tmp_path: Path, trouble: str
) -> None:
    url = up.url
    with contextlib.ExitStack() as stack:
        if trouble == "away":
            url = f"http://127.0.0.1:{closed_port()}/v1"
        elif trouble == "401":
            up.status = 401
        elif trouble == "not a list":
            up.models = [7]
        else:
            silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        more = '[policies.mine]\nkind = "fixed"\nmodels = ["vendor/named"]\n'
        more += '[router]\nalias = {"gpt-4o" = "vendor/other"}\n'
        with serving(tmp_path, settings(url, more=more), VENDOR_KEY=KEY) as served:
            said = "".join(served.said)
            assert "provider 'vendor' did not list its models: " in said and "name them in `models`" in said
            names = [each for each in listed(served) if "/" in each]
            assert names == ["echo/small", "echo/large", "vendor/other", "vendor/named"], "what the settings name stays"
            assert served.chat("echo/small").status == 200


@pytest.mark.long
def test_a_list_of_another_wire_is_asked_for_in_its_own_way(up: ListingUpstream, tmp_path: Path) -> None:
    config = settings(up.url).replace("[providers.vendor]", '[providers.vendor]\nwire = "anthropic"')
    with serving(tmp_path, config, VENDOR_KEY=KEY) as served:
        assert up.asked == [("GET", "/v1/models?limit=1000", KEY)] and "vendor/big-chat" in listed(served)


@pytest.mark.long
def test_star_beside_names_offers_both_and_the_echo_has_no_list(up: ListingUpstream, tmp_path: Path) -> None:
    config = settings(up.url, models='["hidden", "*"]').replace('["small", "large"]', '["small", "*"]')
    with serving(tmp_path, config, VENDOR_KEY=KEY) as served:
        assert "provider 'echo' did not list its models: the wire 'echo' has no list" in "".join(served.said)
        assert "vendor/hidden" in listed(served) and "vendor/gpt-4o" in listed(served)
        assert "echo/*" not in listed(served)


@pytest.mark.long
def test_a_provider_without_models_says_so_at_start_and_in_doctor(tmp_path: Path) -> None:
    config = f'{ECHO}[providers.empty]\nbase_url = "http://127.0.0.1:{closed_port()}/v1"\n'
    with serving(tmp_path, config) as served:
        until(lambda: "".join(served.said))
        assert "provider 'empty' has no models: list them as `models" in "".join(served.said)
        out = sizewise("doctor", "--json", home=tmp_path, SIZEWISE_KEY=served.key).out
        found = [each for each in json.loads(out)["checks"] if each["check"] == "models"]
        assert [each["ok"] for each in found] == [False] and "'empty' has no models" in found[0]["found"]
        assert '["*"]' in found[0]["next"]


@pytest.mark.long
def test_doctor_knows_that_a_list_is_not_received_yet(up: ListingUpstream, tmp_path: Path) -> None:
    (tmp_path / "sizewise.toml").write_text(settings(up.url))
    found = json.loads(sizewise("doctor", "--json", home=tmp_path, VENDOR_KEY=KEY).out)["checks"]
    (missing,) = [each for each in found if each["check"] == "models"]
    assert missing["found"] == "provider 'vendor' has no models yet" and "`sizewise up`" in missing["next"]
    assert up.asked == [], "doctor asks nobody"
    with serving(tmp_path, settings(up.url), VENDOR_KEY=KEY):
        pass
    found = json.loads(sizewise("doctor", "--json", home=tmp_path, VENDOR_KEY=KEY).out)["checks"]
    assert [each for each in found if each["check"] == "models"] == []


# ---- aliases

ALIASES = """
[router]
alias = {"gpt-4o" = "echo/large", "cheap" = "auto:thrifty", "mini" = "small", "vec" = "echo/vectors", "o/1" = "large"}
[policies.thrifty]
kind = "cheapest"
[policies.default]
kind = "cheapest"
[models."echo/vectors"]
task = "embed"
[models."echo/small".price]
input = "0"
output = "0"
[models."echo/large".price]
input = "1"
output = "1"
"""


@pytest.fixture(scope="module")
def aliased(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    config = ECHO.replace('["small", "large"]', '["small", "large", "vectors"]') + ALIASES
    with serving(tmp_path_factory.mktemp("aliases"), config) as served:
        yield served


@pytest.mark.parametrize(
    ("name", "model"),
    [("gpt-4o", "echo/large"), ("cheap", "echo/small"), ("mini", "echo/small"), ("o/1", "echo/large")],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_an_alias_answers_at_every_endpoint_and_the_record_has_both_names(
    aliased: Served, name: str, model: str, path: str
) -> None:
    body: dict[str, Any] = {"model": name, "input": "hi"} if path.endswith("responses") else {"model": name}
    if "input" not in body:
        body |= {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 9}
    answer = aliased.ask(path, body)
    assert (answer.status, answer.headers["x-sizewise-model"]) == (200, model), answer.body
    until(lambda: booked(aliased.home, answer.headers["x-sizewise-trace"]))
    (record,) = booked(aliased.home, answer.headers["x-sizewise-trace"])
    assert (record["asked"], record["model"]) == (name, model)
    if name == "gpt-4o":
        assert "gpt-4o is an alias of echo/large" in answer.headers["x-sizewise-why"]


def test_an_alias_of_an_embedding_model_embeds(aliased: Served) -> None:
    assert aliased.ask("/v1/embeddings", {"model": "vec", "input": "a"}).status == 200


def test_aliases_stand_in_the_lists(aliased: Served) -> None:
    entries = {each["id"]: each for each in json.loads(aliased.ask("/v1/models").body)["data"]}
    assert entries["gpt-4o"]["sizewise"] == {"alias_of": "echo/large"} and entries["gpt-4o"]["owned_by"] == "sizewise"
    assert entries["cheap"]["sizewise"] == {"alias_of": "auto:thrifty"}
    assert json.loads(aliased.ask("/v1/models/gpt-4o").body) == entries["gpt-4o"]
    assert "sizewise" not in entries["auto"]
    shown = sizewise("models", "list", "--json", home=aliased.home, SIZEWISE_KEY=aliased.key).out
    assert {"gpt-4o", "cheap", "mini"} <= set(json.loads(shown)["modelAliases"])
    assert "echo/large" in sizewise("models", "show", "gpt-4o", home=aliased.home, SIZEWISE_KEY=aliased.key).out


def test_an_allow_list_of_a_key_is_about_the_model_behind_the_alias(aliased: Served) -> None:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
    small, large = scoped_key(aliased, "echo/small"), scoped_key(aliased, "echo/large")
    refused(aliased.ask("/v1/chat/completions", body, key=small), 403, "forbidden")
    assert aliased.ask("/v1/chat/completions", body, key=large).status == 200
    assert "gpt-4o" not in listed(aliased, small) and "gpt-4o" in listed(aliased, large)
    assert aliased.ask("/v1/models/gpt-4o", key=small).status == 404


@pytest.mark.long
@pytest.mark.parametrize(
    ("alias", "said"),
    [
        ('{"gpt-4o" = "echo/larg"}', "gives 'gpt-4o' to 'echo/larg', but there is no such model"),
        ('{"auto" = "echo/large"}', "has 'auto', which already means something"),
        ('{"auto:x" = "echo/large"}', "has 'auto:x', which already means something"),
        ('{"flow:x" = "echo/large"}', "has 'flow:x', which already means something"),
        ('{"echo/small" = "echo/large"}', "has 'echo/small', which already means something"),
        ('{"" = "echo/large"}', "has '', which already means something"),
        ('{"a" = "a"}', "gives 'a' to 'a', but there is no such model"),
        ('{"a" = "auto:nothing"}', "gives 'a' to 'auto:nothing', but there is no such model"),
    ],
)
def test_an_alias_that_means_nothing_or_something_else_is_refused_at_start(
    tmp_path: Path, alias: str, said: str
) -> None:
    (tmp_path / "sizewise.toml").write_text(f"{ECHO}[router]\nalias = {alias}\n")
    done = sizewise("up", "--json", "--port", "0", home=tmp_path)
    assert done.code == 2 and said in done.out + done.err
