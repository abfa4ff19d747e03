"""What single kinds of nodes do with the means they are given, and what they say where a means is missing."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sizewise.data_class import DataClass
from sizewise.errors import (
    BadRequest,
    ConfigError,
    EgressDenied,
    Forbidden,
    InvalidOutput,
    SizewiseError,
    UpstreamError,
)
from sizewise.flows.http_allowlist import HttpAllowlist
from sizewise.flows.node import NodeDependencies, StrictestBounds
from sizewise.handler import Request, RequestOptions, Send
from sizewise.http.client import HttpClient
from sizewise.http.egress import EgressPolicy
from sizewise.knowledge.load import DocumentProcesses
from sizewise.knowledge.results import SearchMode, SearchResponse, SearchResult
from sizewise.knowledge.upload import DocumentUpload, IngestionResult
from sizewise.knowledge.vector_store import TagFilter
from sizewise.messages import ChatRequest, Choice, Reply, Usage
from sizewise.settings.http_allowlist import HttpHostSettings
from tests.flows.in_process import Ran, flow, going, ran
from tests.timeouts import run_with_timeout

REACH: Any = {"public": "anyone", "internal": "network", "confidential": "machine"}


class Api:
    """An HTTP API that tells what it was asked. /busy answers 503, /away sends elsewhere, /big says much."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.url = ""


@contextmanager
def serving() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            seen = {"method": self.command, "path": self.path, "body": self.rfile.read(size).decode()}
            api.asked.append(seen | {"headers": {k.lower(): v for k, v in self.headers.items()}})
            status = 503 if "/busy" in self.path else 302 if "/away" in self.path else 200
            body = b"x" * 9_000_000 if "/big" in self.path else json.dumps(seen).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if status == 302:
                self.send_header("location", "/elsewhere")
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # http.server's own names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    api.url = f"http://127.0.0.1:{server.server_port}/base"
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as served:
        yield served


def called(
    api: Api,
    node: str,
    *,
    options: RequestOptions = RequestOptions(),
    data_class: Any = "internal",
    **host: Any,  # frozen
) -> Ran:  # frozen
    """Runs one http node against the API, declared as on this network."""
    made = flow(f'name: x\ninputs: {{q: text}}\nnodes:\n  a: {node}\noutputs: {{json: "{{{{ a.json }}}}"}}\n')
    here = Ran()

    async def work() -> None:
        hosts = {"crm": HttpHostSettings(url=api.url, place="network", **host)}
        async with HttpClient(EgressPolicy({api.url: "network"}, REACH)) as client:
            told = StrictestBounds(data_class, REACH[data_class])
            resources = NodeDependencies(here.asked, lambda ask: told, http=HttpAllowlist(hosts, client))
            await going(made, {"q": "Zürich & more"}, here, options, resources)

    run_with_timeout(work())
    return here


def test_an_api_of_the_settings_is_asked_with_a_key_that_the_flow_never_sees(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CRM_KEY", "secret-of-crm")
    node = (
        '{kind: http, host: crm, path: "/people/{{ inputs.q }}", method: POST, query: {n: 1}, '
        'json: {a: "{{ inputs.q }}"}}'
    )
    seen = called(api, node, key="env:CRM_KEY", headers={"x-tenant": "t"})
    (asked,) = api.asked
    assert (asked["method"], asked["path"]) == ("POST", "/base/people/Z%C3%BCrich%20&%20more?n=1")
    assert json.loads(asked["body"]) == {"a": "Zürich & more"}
    assert asked["headers"]["authorization"] == "Bearer secret-of-crm"
    assert asked["headers"]["x-tenant"] == "t"
    assert asked["headers"]["idempotency-key"] == "run1:a"
    assert seen.outputs["json"]["path"] == asked["path"]
    assert b"secret-of-crm" not in b"".join(seen.steps.results.values())


def test_what_a_url_cannot_have_is_encoded_and_what_is_encoded_stays(api: Api) -> None:
    node = f'{{kind: http, url: "{api.url}/a b%20c?q=ein täg&l=[1]#part"}}'
    assert called(api, node).outputs["json"]["path"] == "/base/a%20b%20c?q=ein%20t%C3%A4g&l=%5B1%5D"


def test_a_whole_url_must_lie_below_an_allowed_one(api: Api) -> None:
    assert called(api, f'{{kind: http, url: "{api.url}/x?y=1"}}').outputs["json"]["path"] == "/base/x?y=1"
    for url in (
        api.url.replace("/base", "/other"),
        api.url.replace("/base", "/base2"),
        api.url.replace("127.0.0.1", "localhost"),
        "http://169.254.169.254/latest",
        api.url.replace("//", "//user@"),
    ):
        with pytest.raises(EgressDenied, match=r"a: flows are not allowed to call"):
            called(api, f'{{kind: http, url: "{url}"}}')
    assert len(api.asked) == 1


@pytest.mark.parametrize("url", ["http://[", "http://[x]/?key=secret", "http://a\u2100b/"])
def test_what_is_not_a_url_is_refused_without_its_query(api: Api, url: str) -> None:
    with pytest.raises(BadRequest, match=r"a: .* is not a URL") as refused:
        called(api, f"{{kind: http, url: '{url}'}}")
    assert refused.value.code == "bad_request" and "secret" not in refused.value.message and api.asked == []


@pytest.mark.long
@pytest.mark.parametrize("path", ["/../admin", "/a/../../b", "/%2e%2e/admin", "/a/..%2fb", "..", "/a\\\\..\\\\b"])
def test_no_path_climbs_out_of_what_was_allowed(api: Api, path: str) -> None:
    with pytest.raises(BadRequest, match=r"the path must not contain"):
        called(api, f'{{kind: http, host: crm, path: "{path}"}}')
    assert api.asked == []


@pytest.mark.long
@pytest.mark.parametrize(
    ("node", "host", "error", "says"),
    [
        ("{kind: http, host: crn}", {}, BadRequest, "no host 'crn'"),
        ("{kind: http, host: crm, method: DELETE}", {"methods": ("GET",)}, Forbidden, "'crm' does not allow DELETE"),
        ("{kind: http, host: crm}", {"projects": ("other",)}, Forbidden, "this project"),
        ("{kind: http, host: crm, headers: {Authorization: x}}", {}, BadRequest, "cannot set the header"),
        ("{kind: http, host: crm, headers: {X-T: x}}", {"headers": {"x-t": "y"}}, BadRequest, "cannot set the header"),
        ("{kind: http, host: crm, path: /busy}", {}, UpstreamError, "'crm' responded with status 503"),
        ("{kind: http, host: crm, path: /big}", {}, SizewiseError, "larger than"),
    ],
)
def test_what_an_api_is_not_asked_or_does_not_answer_is_said(
    api: Api,
    node: str,
    host: dict[str, Any],
    error: type[SizewiseError],
    says: str,
) -> None:
    with pytest.raises(error, match=f"a: .*{says}"):
        called(api, node, **host)


def test_a_redirect_is_not_followed_and_an_error_may_be_a_result(api: Api) -> None:
    assert called(api, "{kind: http, host: crm, path: /away}").outputs["json"]["path"] == "/base/away"
    assert called(api, "{kind: http, host: crm, path: /busy, on_error: give}").outputs["json"]["path"] == "/base/busy"
    assert len(api.asked) == 2


def test_data_goes_no_further_than_its_class(api: Api) -> None:
    with pytest.raises(EgressDenied):
        called(api, "{kind: http, host: crm}", data_class="confidential")
    assert api.asked == []


def test_busy_apis_are_asked_again_under_the_same_key(api: Api) -> None:
    with pytest.raises(UpstreamError):
        called(api, "{kind: http, host: crm, path: /busy, method: POST, retry: {times: 3, wait_s: 0}}")
    assert [asked["headers"]["idempotency-key"] for asked in api.asked] == ["run1:a"] * 3


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ("{kind: search, knowledge: k, query: q}", "no knowledge"),
        ("{kind: ingest, knowledge: k, documents: []}", "no knowledge"),
        ("{kind: file, file: {data: aGk=}}", "no file reader"),
        ("{kind: tool, tool: x}", "no tools"),
        ("{kind: http, host: x}", "no HTTP client for flows"),
        ("{kind: python, code: '1'}", "no sandbox for python"),
        ("{kind: javascript, code: '1'}", "no sandbox for javascript"),
        ("{kind: agent, task: x}", "no agents"),
        ("{kind: memory, do: recall, whose: me}", "no memory"),
    ],
)
def test_where_a_means_is_missing_the_node_says_what_would_bring_it(node: str, says: str) -> None:
    with pytest.raises(ConfigError, match=f"a: this server has {says}") as missing:
        ran(f"name: x\nnodes:\n  a: {node}\noutputs: {{}}\n")
    assert missing.value.hint


def file(data: bytes, name: str) -> Ran:
    given = {"name": name, "media_type": "", "data": base64.b64encode(data).decode()}
    text = 'name: x\ninputs: {f: file}\nnodes: {a: {kind: file, file: "{{ inputs.f }}"}}\noutputs: {a: "{{ a }}"}'
    return ran(text, {"f": given}, dependencies=lambda means: replace(means, read_file=DocumentProcesses().load))


def test_files_are_read_in_their_formats() -> None:
    assert file(b"# One\n\nWords.", "a.md").outputs["a"]["text"].endswith("Words.")
    assert "name: Ann" in file(b"name,age\nAnn,3\n", "a.csv").outputs["a"]["text"]
    assert "Hi" in file(b"<html><body><p>Hi</p><script>x</script></body></html>", "a.html").outputs["a"]["text"]
    with pytest.raises(BadRequest, match=r"a: "):
        file(b"\x00\x01\x02", "a.bin")
    text = 'name: x\nnodes: {a: {kind: file, file: {data: "no base64!"}}}\noutputs: {}'
    with pytest.raises(BadRequest, match="is not valid base64"):
        ran(text, dependencies=lambda means: replace(means, read_file=DocumentProcesses().load))


def test_json_keeps_its_schema_or_fails() -> None:
    text = """
name: x
nodes:
  a:
    kind: json
    prompt: hi
    schema: {type: object, properties: {n: {type: integer}}, required: [n], additionalProperties: false}
outputs: {n: "{{ a.n }}"}
"""
    assert isinstance(ran(text).outputs["n"], int)
    mended = ran(text.replace("prompt: hi", "prompt: '[[say no json]]'"))  # by the router, once
    assert isinstance(mended.outputs["n"], int)
    assert (len(mended.asked.asks), mended.outcome.model_calls) == (1, 2)


def test_an_answer_that_is_no_json_after_all_fails_the_node() -> None:
    async def answer(request: Request, send: Send) -> Reply:
        return Reply((Choice(0, "no json", "length"),), Usage())

    text = 'name: x\nnodes: {a: {kind: json, prompt: hi, schema: {type: object}}}\noutputs: {a: "{{ a }}"}'
    with pytest.raises(InvalidOutput, match=r"a: the answer is not valid JSON") as failed:
        ran(text, dependencies=lambda means: replace(means, handler=answer))
    assert failed.value.hint == "Raise `max_tokens`."


def test_a_classifier_says_nothing_but_a_label() -> None:
    text = """
name: x
inputs: {q: text}
nodes:
  a: {kind: classify, text: "{{ inputs.q }}", labels: {one: the first, two: the second}}
outputs: {label: "{{ a.label }}"}
"""
    seen = ran(text, {"q": "hello"})
    assert seen.outputs["label"] in ("one", "two")
    (request,) = seen.asked.asks
    assert request.payload.model == "small"
    assert b'"enum":["one","two"]' in bytes(request.payload.fields["response_format"])
    assert seen.asked.prompts() == ["hello"] and isinstance(request.payload, ChatRequest)
    assert "- two: the second" in request.payload.messages[0].text


class Base:
    """Knowledge that finds one passage, of a class."""

    def __init__(self, data_class: DataClass) -> None:
        self._found = SearchResult(
            "1",
            "d",
            "book.md",
            "Book",
            "Cats sleep.",
            0.5,
            3,
            (3,),
            ("Cats",),
            0,
            10,
            data_class,
        )

    async def search(
        self,
        request: Request,
        name: str,
        query: str,
        *,
        limit: int = 5,
        mode: SearchMode = "hybrid",
        where: TagFilter | None = None,
    ) -> SearchResponse:
        return SearchResponse((self._found,))

    async def ingest(self, request: Request, name: str, documents: Sequence[DocumentUpload]) -> list[IngestionResult]:
        return [IngestionResult(each.source, "1", "added", 2) for each in documents]


def test_what_a_search_finds_is_kept_as_closely_from_then_on_also_after_a_crash() -> None:
    text = """
name: x
nodes:
  before: {kind: ask, prompt: hi}
  find: {kind: search, knowledge: book, query: cats, after: before}
  reply: {kind: ask, prompt: "{{ find.passages | passages }}"}
outputs: {answer: "{{ reply.text }}", cited: "{{ find.passages | pluck('cited') }}"}
"""
    seen = ran(text, dependencies=lambda means: replace(means, knowledge=Base("confidential")))
    assert seen.outputs["cited"] == ["book.md, page 3, Cats"]
    assert [ask.options.data_class for ask in seen.asked.asks] == [None, "confidential"]
    del seen.steps.results["reply"]
    again = ran(text, again=seen, dependencies=lambda means: replace(means, knowledge=Base("public")))
    assert [ask.options.data_class for ask in again.asked.asks] == ["confidential"]
    public = ran(
        text,
        dependencies=lambda means: replace(means, knowledge=Base("public")),
        options=RequestOptions(data_class="internal"),
    )
    assert [ask.options.data_class for ask in public.asked.asks] == ["internal", "internal"]


def test_documents_are_taken_into_a_base() -> None:
    text = """
name: x
nodes:
  a: {kind: ingest, knowledge: book, documents: [{source: a.md, text: hi}, {source: b.pdf, data: aGk=}]}
outputs: {n: "{{ a.passages }}", added: "{{ a.added }}"}
"""
    assert ran(text, dependencies=lambda means: replace(means, knowledge=Base("public"))).outputs == {
        "n": 4,
        "added": 2,
    }
