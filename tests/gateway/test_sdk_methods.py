"""Every method of the vendors' SDKs that has an endpoint here, in front of every wire, against the SDKs' own types."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from anthropic import Anthropic, beta_tool
from openai import OpenAI
from pydantic import BaseModel

from docs.sdk_alternatives import ALTERNATIVES
from docs.sdk_methods import PAGE, SdkMethod, endpoints, sdk_methods
from sizewise.testing.upstream import FakeOpenAI, FaultResponder, _answers
from tests.fakes import fake_anthropic, fake_responses
from tests.fakes.media_upstream import MediaUpstream
from tests.gateway.server_harness import beside
from tests.running_server import Served, serving

CONFIG = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "vectors"]
[models."echo/vectors"]
task = "embed"
[providers.media]
base_url = "{media}"
place = "machine"
[models."media/voice"]
task = "speak"
[models."media/ear"]
task = "transcribe"
[models."media/brush"]
task = "image"
"""
WIRES = ("openai", "anthropic", "responses")
MODELS = ("echo/small", *(f"{wire}/well" for wire in WIRES))
CITY = {"city": "Zürich", "days": 2}
HELLO: Any = [{"role": "user", "content": "one two"}]
OURS = frozenset({"sizewise", "estimated"})
"""Fields that Sizewise adds."""
UNTYPED = frozenset(
    {"store", "frequency_penalty", "presence_penalty", "object", "first_id", "last_id", "usage"},
)
"""Fields of the API that these SDKs have no type for: of a response, of a page, of a translation."""


class Stay(BaseModel):
    city: str
    days: int


class OpenAiUpstream(FakeOpenAI):
    """`json` answers by a JSON object."""

    def fault(self, model: str) -> FaultResponder:
        if model != "json":
            return super().fault(model)
        choice = {"index": 0, "message": {"role": "assistant", "content": json.dumps(CITY)}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return answer(
            {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
        )


class AnthropicUpstream(fake_anthropic.FakeAnthropic):
    def fault(self, model: str) -> FaultResponder:
        if model != "json":
            return super().fault(model)
        content = [{"type": "text", "text": json.dumps(CITY), "citations": None}]
        message = {"id": "m", "type": "message", "role": "assistant", "model": model, "content": content}
        return answer({**message, "stop_reason": "end_turn", "stop_sequence": None, "usage": fake_anthropic.USAGE})


class ResponsesUpstream(fake_responses.FakeResponses):
    def fault(self, model: str) -> FaultResponder:
        if self.received.paths[-1].endswith("/input_tokens"):
            return answer({"object": "response.input_tokens", "input_tokens": 2})
        if model != "json":
            return super().fault(model)
        output = [fake_responses.message(1, json.dumps(CITY))]
        whole = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": model}
        return answer({**whole, "output": output, "usage": fake_responses.USAGE})


def answer(body: dict[str, Any]) -> FaultResponder:
    return _answers("200 OK", json.dumps(body).encode())


class Clients:
    """Both SDKs, with the strictest validation they have: an answer that is not of their type is an error."""

    def __init__(self, served: Served) -> None:
        strict: Any = {"api_key": served.key, "max_retries": 0, "_strict_response_validation": True}
        self.openai = OpenAI(base_url=f"{served.url}/v1", **strict)
        self.anthropic = Anthropic(base_url=served.url, **strict)

    def api(self, method: str) -> Any:
        """The resource of a method."""
        return attrgetter(method.rpartition(".")[0])(self)


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    with beside(OpenAiUpstream) as plain, beside(AnthropicUpstream) as claude, beside(ResponsesUpstream) as reason:
        rows = "".join(
            f'[providers.{wire}]\nwire = "{wire}"\nbase_url = "{up.url}"\n'
            'place = "machine"\nmodels = ["well", "json"]\n'
            for wire, up in zip(WIRES, (plain, claude, reason), strict=True)
        )
        with (
            beside(MediaUpstream) as media,
            serving(tmp_path_factory.mktemp("methods"), CONFIG.format(media=media.url) + rows) as served,
        ):
            made = Clients(served)
            yield made
            for each in (made.openai, made.anthropic):
                each.close()
            assert "Traceback" not in "".join(served.said)


# ---- one call of each method ----------------------------------------------------------------------------------------


def says_json(model: str) -> Any:
    """A model and a prompt that make it answer by a Stay."""
    return ("echo/small", f"[[say {json.dumps(CITY)}]]") if model.startswith("echo/") else (f"{model[:-4]}json", "x")


def chat_create(api: Any, model: str) -> list[Any]:
    chunks = api.create(model=model, messages=HELLO, stream=True, stream_options={"include_usage": True})
    return [api.create(model=model, messages=HELLO), *chunks]


def chat_parse(api: Any, model: str) -> list[Any]:
    name, prompt = says_json(model)
    made = api.parse(model=name, messages=[{"role": "user", "content": prompt}], response_format=Stay)
    assert made.choices[0].message.parsed == Stay(city="Zürich", days=2)
    return [made]


def chat_stream(api: Any, model: str) -> list[Any]:
    with api.stream(model=model, messages=HELLO) as stream:
        return [*(event.chunk for event in stream if event.type == "chunk"), stream.get_final_completion()]


def completions_create(api: Any, model: str) -> list[Any]:
    lenient = api._client.copy()  # the type of a chunk allows no `finish_reason` of null, which OpenAI sends too
    lenient._strict_response_validation = False
    chunks = lenient.completions.create(model=model, prompt="one two", stream=True)
    return [api.create(model=model, prompt="one two"), *chunks]


def responses_create(api: Any, model: str) -> list[Any]:
    return [api.create(model=model, input="one two"), *api.create(model=model, input="one two", stream=True)]


def responses_parse(api: Any, model: str) -> list[Any]:
    name, prompt = says_json(model)
    made = api.parse(model=name, input=prompt, text_format=Stay)
    assert made.output_parsed == Stay(city="Zürich", days=2)
    return [made]


def responses_stream(api: Any, model: str) -> list[Any]:
    with api.stream(model=model, input="one two") as stream:
        return [*stream, stream.get_final_response()]


def responses_retrieve(api: Any, model: str) -> list[Any]:
    id = api.create(model=model, input="one two").id
    return [api.retrieve(id), *api.retrieve(id, stream=True)]


def responses_delete(api: Any, model: str) -> list[Any]:
    assert api.delete(api.create(model=model, input="one two").id) is None
    return []


def input_items_list(api: Any, model: str) -> list[Any]:
    made = api._client.responses.create(model=model, input="one two")
    page = api.list(made.id)
    assert page.data
    return [page, *page.data]


def responses_cancel(api: Any, model: str) -> list[Any]:
    return [api.cancel(api.create(model=model, input="one two", background=True).id)]


def input_tokens_count(api: Any, model: str) -> list[Any]:
    return [api.count(model=model, input="one two")]


def messages_create(api: Any, model: str) -> list[Any]:
    events = api.create(model=model, max_tokens=9, messages=HELLO, stream=True)
    return [api.create(model=model, max_tokens=9, messages=HELLO), *events]


def messages_stream(api: Any, model: str) -> list[Any]:
    with api.stream(model=model, max_tokens=9, messages=HELLO) as stream:
        return [*stream, stream.get_final_message()]


def messages_parse(api: Any, model: str) -> list[Any]:
    name, prompt = says_json(model)
    made = api.parse(model=name, max_tokens=99, messages=[{"role": "user", "content": prompt}], output_format=Stay)
    assert made.parsed_output == Stay(city="Zürich", days=2)
    return [made]


def messages_count(api: Any, model: str) -> list[Any]:
    return [api.count_tokens(model=model, messages=HELLO)]


@beta_tool
def weather(city: str) -> str:
    """The weather of a city."""
    return "Rain."


def messages_tool_runner(api: Any, model: str) -> list[Any]:
    return list(api.tool_runner(model=model, max_tokens=9, messages=HELLO, tools=[weather], thread=False))


CHAT = {"create": chat_create, "parse": chat_parse, "stream": chat_stream}
RESPONSES = {
    "create": responses_create,
    "retrieve": responses_retrieve,
    "delete": responses_delete,
    "cancel": responses_cancel,
    "input_items.list": input_items_list,
    "input_tokens.count": input_tokens_count,
}
MESSAGES = {
    "create": messages_create,
    "stream": messages_stream,
    "parse": messages_parse,
    "count_tokens": messages_count,
}
BY_MODEL: dict[str, Callable[[Any, str], list[Any]]] = {
    **{f"openai.chat.completions.{name}": call for name, call in CHAT.items()},
    **{f"openai.beta.chat.completions.{name}": call for name, call in CHAT.items()},
    "openai.completions.create": completions_create,
    **{f"openai.responses.{name}": call for name, call in RESPONSES.items()},
    "openai.responses.parse": responses_parse,
    "openai.responses.stream": responses_stream,
    **{f"openai.beta.responses.{name}": call for name, call in RESPONSES.items()},
    **{f"anthropic.messages.{name}": call for name, call in MESSAGES.items()},
    **{f"anthropic.beta.messages.{name}": call for name, call in MESSAGES.items()},
    "anthropic.beta.messages.tool_runner": messages_tool_runner,
}
"""Methods that ask a model: called in front of every wire."""
ELSEWHERE = {
    "openai.vector_stores.": Path(__file__).with_name("test_vector_stores.py"),
    "openai.batches.": Path(__file__).with_name("test_batches.py"),
    "openai.evals.": Path(__file__).with_name("test_evals.py"),
    "openai.decisions.": Path(__file__).parents[1] / "decisions/test_decisions_served.py",
}
"""Resources whose methods are called in a file of their own: with the same strict client in front of a knowledge base,
and in front of runs.
"""
SOUND, PICTURE = ("a.mp3", b"sound"), ("a.png", b"picture")


def new_file(api: Any) -> str:
    id: str = api.create(file=("a.txt", b"x"), purpose="user_data").id
    return id


FILES: dict[str, Callable[[Any], Any]] = {
    "create": lambda api: api.create(file=("a.txt", b"x"), purpose="user_data"),
    "retrieve": lambda api: api.retrieve(new_file(api)),
    "list": lambda api: api.list(),
    "content": lambda api: api.content(new_file(api)).read(),
    "retrieve_content": lambda api: api.retrieve_content(new_file(api)),
    "delete": lambda api: api.delete(new_file(api)),
}
MEDIA: dict[str, Callable[[Any], Any]] = {
    "audio.speech.create": lambda api: api.create(model="media/voice", voice="alloy", input="one").read(),
    "audio.transcriptions.create": lambda api: api.create(model="media/ear", file=SOUND),
    "audio.translations.create": lambda api: api.create(model="media/ear", file=SOUND),
    "images.generate": lambda api: api.generate(model="media/brush", prompt="a cat"),
    "images.edit": lambda api: api.edit(model="media/brush", image=PICTURE, prompt="a cat"),
    "images.create_variation": lambda api: api.create_variation(model="media/brush", image=PICTURE),
}
MODELS_API: dict[str, Callable[[Any], Any]] = {
    "list": lambda api: api.list(),
    "retrieve": lambda api: api.retrieve("echo/small"),
}
ONCE: dict[str, Callable[[Any], Any]] = {
    "openai.embeddings.create": lambda api: api.create(
        model="echo/vectors", input=["one", "two"], encoding_format="float"
    ),
    "openai.moderations.create": lambda api: api.create(input="one two"),
    **{f"openai.files.{name}": call for name, call in FILES.items()},
    **{f"openai.{name}": call for name, call in MEDIA.items()},
    **{
        f"{sdk}.models.{name}": call
        for sdk in ("openai", "anthropic", "anthropic.beta")
        for name, call in MODELS_API.items()
    },
}


def unknown_fields(value: object, at: str = "") -> Iterator[str]:
    """Paths of fields that the SDK's types do not have."""
    if isinstance(value, BaseModel):
        for name in value.model_extra or ():
            yield f"{at}.{name}"
        for name in type(value).model_fields:
            yield from unknown_fields(getattr(value, name), f"{at}.{name}")
    elif isinstance(value, list):
        for each in value:
            yield from unknown_fields(each, f"{at}[]")


def check(answers: list[Any]) -> None:
    for each in answers:
        found = {
            path for path in unknown_fields(each, type(each).__name__) if path.rpartition(".")[2] not in OURS | UNTYPED
        }
        assert not found, found


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", BY_MODEL)
def test_a_method_gives_answers_of_its_type_in_front_of_every_wire(clients: Clients, method: str, model: str) -> None:
    check(BY_MODEL[method](clients.api(method), model))


@pytest.mark.parametrize("method", ONCE)
def test_a_method_that_asks_no_chat_model_gives_answers_of_its_type(clients: Clients, method: str) -> None:
    check([ONCE[method](clients.api(method))])


# ---- the list -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def methods() -> list[SdkMethod]:
    return sdk_methods()


def test_every_method_with_an_endpoint_here_is_called_above_or_where_its_resource_is_tested(
    methods: list[SdkMethod],
) -> None:
    ours = endpoints()
    elsewhere = {each.name for each in methods if each.has_endpoint(ours) and each.name.startswith(tuple(ELSEWHERE))}
    assert {each.name for each in methods if each.has_endpoint(ours)} == {*BY_MODEL, *ONCE, *elsewhere}
    calls = "".join(file.read_text() for file in ELSEWHERE.values())
    uncalled = {name for name in elsewhere if not re.search(rf"\.{name.partition('.')[2]}[(,)]", calls)}
    assert uncalled <= {"openai.vector_stores.files.upload"}  # the first half of `upload_and_poll`


def test_what_the_page_offers_instead_is_of_resources_without_an_endpoint(methods: list[SdkMethod]) -> None:
    ours = endpoints()
    away = [each.name for each in methods if each.requests and not each.has_endpoint(ours)]
    assert [name for name in ALTERNATIVES if not any(each.startswith(f"{name}.") for each in away)] == []


def test_the_page_names_every_method_once(methods: list[SdkMethod]) -> None:
    """A new version of an SDK with other methods fails here until `python -m docs.build` has written them down."""
    first, mark, second = PAGE.read_text().partition("\n## `anthropic`")
    ours, pages = endpoints(), {"openai": first, "anthropic": mark + second}
    for each in methods:
        sdk, _, name = each.name.partition(".")
        resource, _, last = name.rpartition(".")
        lines = pages[sdk].splitlines()
        rows = [line for line in lines if line.startswith(f"| `{name if each.has_endpoint(ours) else resource}` |")]
        assert sum(f"`{name}` |" in row or f"`{last}`" in row for row in rows) == 1, each.name


@pytest.mark.parametrize(
    ("method", "request_line"),
    [
        ("openai.chat.completions.create", ("POST", "/v1/chat/completions")),
        ("openai.chat.completions.list", ("GET", "/v1/chat/completions")),
        ("openai.responses.delete", ("DELETE", "/v1/responses/{}")),
        ("openai.files.create", ("POST", "/v1/files")),
        ("anthropic.beta.messages.create", ("POST", "/v1/messages")),
    ],
)
def test_what_a_method_sends_is_read_from_its_code(
    methods: list[SdkMethod], method: str, request_line: tuple[str, str]
) -> None:
    assert next(each.requests for each in methods if each.name == method) == {request_line}
