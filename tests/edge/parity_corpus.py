"""The corpus of parity: requests that the gateway and a Worker get alike; models and settings that both have."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from sizewise.routing.quality.predictor import (
    ApgrScore,
    FeatureScale,
    ModelHead,
    Predictor,
    PredictorProvenance,
)
from sizewise.routing.text.prompt_features import SURFACE_FEATURES

SETTINGS = """
[server]
discover = false
embedded = false
max_body_bytes = 60_000
[router]
predictor = "{predictor}"
small = "up/plain"
large = "up/counted"
[router.alias]
"gpt-4" = "up/counted"
[egress]
confidential = "network"
[providers.up]
base_url = "{url}"
models = [
  "plain", "counted", "echo", "busy", "broken", "refuses", "locked", "elsewhere", "html", "list", "reset", "reset-mid",
  "half-frame", "no-finish", "malformed", "error-mid", "crlf", "one-byte", "windowed", "seeing", "calls",
]
[providers.near]
base_url = "{near}"
place = "network"
models = ["echo", "plain"]
[providers.here]
base_url = "{here}"
place = "machine"
models = ["echo"]
[models."up/plain"]
parameters = 1_000_000_000
logprobs = false
tools = false
[models."up/plain".price]
input = "0.1"
output = "0.2"
[models."up/counted"]
parameters = 70_000_000_000
tools = true
[models."up/counted".price]
input = "1"
output = "2"
cached = "0.5"
reasoning = "4"
[models."up/windowed"]
context = 2_000
max_output = 100
[models."near/plain"]
parameters = 8_000_000_000
[models."near/plain".price]
input = "0.5"
output = "0.5"
[policies.default]
kind = "cheapest"
models = ["up/counted", "up/plain", "near/plain"]
[policies.order]
kind = "fixed"
retries = 0
models = ["up/broken", "up/reset", "up/plain"]
[policies.held]
kind = "cascade"
threshold = 0.5
models = ["up/plain", "up/counted"]
[policies.refusing]
kind = "cascade"
threshold = 0.5
models = ["up/echo", "up/counted"]
[policies.failing]
kind = "cascade"
threshold = 0.5
models = ["up/broken", "up/counted"]
[policies.learned]
kind = "learned"
models = ["up/plain", "up/counted"]
[policies.narrow]
kind = "cheapest"
models = ["up/windowed", "up/counted"]
[policies.offline]
kind = "cheapest"
online = "deny"
models = ["up/plain", "here/echo"]
[policies.strict]
kind = "cheapest"
models = ["up/plain", "near/plain"]
[policies.strict.egress]
internal = "network"
[policies.blocking]
kind = "cheapest"
models = ["up/plain", "near/plain"]
[policies.blocking.guardrails]
pii = "block"
[policies.local]
kind = "cheapest"
models = ["up/echo", "here/echo"]
[policies.local.guardrails]
secrets = "local"
[models."up/echo"]
parameters = 500_000_000
[models."up/echo".price]
input = "0.01"
output = "0.01"
[models."here/echo".price]
input = "3"
output = "3"
[models."up/broken".price]
input = "0.01"
output = "0.01"
"""
"""{url}, {near}, {here}: of the doubles that both ask, one for each place. {predictor}: the file of PREDICTOR."""


WORDS = ("hello", "there", "prove", "theorem", "what", "is", "the", "capital", "of", "france", "hello there")
PREDICTOR = Predictor(
    vocabulary={word: place for place, word in enumerate(WORDS)},
    idf=[1.0 + place / 10 for place in range(len(WORDS))],
    scale=FeatureScale((0.5,) * len(SURFACE_FEATURES), (1.5,) * len(SURFACE_FEATURES)),
    heads={
        "plain": ModelHead(0.5, (0.1,) * len(SURFACE_FEATURES), [1.0, 1.0, -4.0, -4.0, 0.5, 0.1, 0, 0.8, 0, 0.7, 1.0]),
        "counted": ModelHead(1.5, (0.05,) * len(SURFACE_FEATURES), [0.2] * len(WORDS)),
    },
    languages=frozenset({"en", "none"}),
    min_known_share=0.4,
    provenance=PredictorProvenance(
        dataset_digest="",
        seed=0,
        date="2026-11-29",
        label_count=0,
        small_model="plain",
        large_model="counted",
        apgr=ApgrScore(0.6, 0.5, 0.7),
        length_baseline=ApgrScore(0.5, 0.4, 0.6),
    ),
)
"""Made by hand: it thinks that the small model greets well and proves nothing."""
PROMPTS = (
    *("Hello there", "hello THERE, there!", "Prove the theorem", "What is the capital of France?", "prove, prove"),
    *(
        "Please could you tell me what the capital of France is?",
        "Wie heisst die Hauptstadt?",
        "こんにちは hello there",
    ),
    *("what's   the\n capital of france ???", "42 hello 17 there 3", "Élise: hello thére", "x = y + z hello there the"),
)


@dataclass(frozen=True)
class ParityCase:
    group: str
    name: str
    path: str = "/v1/chat/completions"
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    key: str | None = ""  # empty: the valid one
    method: str = ""


def chat(group: str, model: str, words: str = "Hello there", **more: object) -> ParityCase:
    shown = {"model": model, "messages": [{"role": "user", "content": words}], **more}
    what = ", ".join(f"{name}={json.dumps(value)[:60]}" for name, value in more.items())
    return ParityCase(group, f"{model} {words[:50]!r} {what}".strip(), body=json.dumps(shown).encode())


def cases() -> Iterator[ParityCase]:
    yield from _choices()
    yield from _predictions()
    yield from _faults()
    yield from _constraints()
    yield from _guards()
    yield from _bodies()
    yield from _messages()
    yield from _responses()
    yield from _decisions()
    yield from _schemas()
    yield from _other_doors()


NAMES = (
    *("auto", "auto:default", "auto:order", "auto:held", "auto:refusing", "auto:failing", "auto:narrow", "small"),
    *("large", "gpt-4", "up/plain", "up/counted", "counted", "near/plain", "here/echo", "windowed"),
)


def _choices() -> Iterator[ParityCase]:
    for model, stream in product(NAMES, (False, True)):
        yield chat("choice of a model", model, stream=stream)
    for model in ("auto", "auto:held", "up/plain"):
        yield chat("choice of a model", model, stream=True, stream_options={"include_usage": True})
        yield chat("choice of a model", model, max_tokens=5, temperature=0.5, seed=7)
    for words in ("I'm sorry, but I can't help with that.", "As an AI language model, I", "I do not know.", "x " * 100):
        for stream in (False, True):
            yield chat("cascade, judged by the rules", "auto:refusing", words, stream=stream)


FAULTY = (
    *("busy", "broken", "refuses", "locked", "elsewhere", "html", "list", "reset", "reset-mid", "half-frame"),
    *("no-finish", "malformed", "error-mid", "crlf", "one-byte"),
)


def _predictions() -> Iterator[ParityCase]:
    for words in PROMPTS:
        yield chat("the learned predictor", "auto:learned", words)


def _faults() -> Iterator[ParityCase]:
    for model, stream in product(FAULTY, (False, True)):
        yield chat("faults of a provider", f"up/{model}", stream=stream)


def _constraints() -> Iterator[ParityCase]:
    group = "data classes and other constraints"
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    for model in ("auto", "auto:offline", "auto:strict", "up/plain", "near/plain", "here/echo"):
        for options in (
            *({"data_class": "confidential"}, {"data_class": "public"}, {"online": "deny"}, {"max_cost_usd": "0.0001"}),
            *({"max_cost_usd": "0"}, {"min_window": 4_000}, {"data_class": "secret"}, {"policy": "held"}),
        ):
            yield chat(group, model, sizewise=options)
    for model in ("auto", "auto:held", "up/plain", "up/counted", "auto:narrow"):
        yield chat(group, model, tools=[tool])
        yield chat(group, model, logprobs=True)
        yield chat(group, model, words="word " * 3_000)
        yield chat(group, model, max_tokens=500)
        yield ParityCase(
            group,
            f"{model} with a picture",
            body=json.dumps({"model": model, "messages": [{"role": "user", "content": picture}]}).encode(),
        )
    for header in ("confidential", "public", "secret"):
        yield ParityCase(group, f"header {header}", body=_hello("auto"), headers={"x-sizewise-data-class": header})
    yield ParityCase(group, "header online", body=_hello("auto"), headers={"x-sizewise-online": "deny"})
    yield ParityCase(group, "header policy", body=_hello("auto"), headers={"x-sizewise-policy": "held"})


PERSONAL = (
    *("Mail ada@example.org or bob.smith+tag@mail.example.co.uk", "Call +49 170 1234567 or (212) 555-0147 today"),
    *("Card 4111 1111 1111 1111, not 4111 1111 1111 1112", "IBAN DE89 3704 0044 0532 0130 00 please"),
    *("My SSN is 536-90-4399", "SSN 078051120 on file", "born on 12 March 1984 in Ulm", "passport number C01X00T47"),
    *("server 192.0.2.44 and 2001:db8::ff00:42:8329", "MAC 00:1B:44:11:3A:B7", "CPF 529.982.247-25"),
    *("NIR 2 55 08 14 168 025 38", "Steuer-ID 86 095 742 719", "PESEL 44051401359", "NHS 943 476 5919"),
    *("Bitcoin 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq sent"),
    *("Ethereum 0x52908400098527886E0F7030069857D2E4169EE7", "account number 12345678", "driver's license D1234567"),
    *("Same ada@example.org twice: ada@example.org", "logo@2x.png and git@github.com:x/y are no addresses"),
    *("Aadhaar 2341 2341 2346", "BSN 111222333", "AHV 756.9217.0769.85", "codice RSSMRA85T10A562S", "NIF 501442600"),
    *("<EMAIL_1> stays, ada@example.org goes", "Grüße an jörg@müller.example 😀 +49 30 901820", "Tel. 0711 123 456 78"),
)
SECRETS = (
    *("key sk-proj-abc123DEF456ghi789JKL012mno345", "token ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    *("aws AKIAIOSFODNN7EXAMPLQ in logs", "password: hunter2!Zx9q", "postgres://user:s3cr3tPw9@db.example.com/app"),
    *("Bearer abcdefghijklmnopqrstuvwxyz012345", "api_key = 'a8f5f167f44f4964e6c998dee827110c'"),
    *("slack xoxb-2444333222111-2444333222111-AbCdEfGhIjKlMnOpQrStUvWx", "the password is changeme"),
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----\nthanks",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
)

REPEATED = tuple(
    f'{{"to": "{mail}", "n": [1, {{"to": "x", "to": "{mail}"}}], "to": "nobody"}}'
    for mail in ("jane@example.com", "jane\\u0040example.com")
)
"""JSON in a text, with a key written twice."""
ORDER = 1234567890123456789
"""An integer that no float holds."""


def _guards() -> Iterator[ParityCase]:
    group = "masking of personal data and secrets"
    for words in (*PERSONAL, *SECRETS):
        yield chat(group, "up/echo", words)
    for words in (*PERSONAL[:6], *SECRETS[:3]):
        yield chat(group, "up/echo", words, stream=True)
        yield chat(group, "here/echo", words)
        yield chat(group, "auto:blocking", words)
    for words in SECRETS[:4]:
        yield chat(group, "auto:local", words)
    for words, model in product(REPEATED, ("up/echo", "auto:blocking")):
        yield chat(group, model, words)
    yield chat(group, "up/echo", json.dumps({"mail": "ada@example.org", "n": 4111111111111111}))
    tool = {"role": "tool", "tool_call_id": "1", "content": f'{{"phone": "+49 170 1234567", "order": {ORDER}}}'}
    arguments = f'{{"to": "ada@example.org", "order": {ORDER}}}'
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    spoken = [{"role": "user", "content": "go"}, {"role": "assistant", "content": None, "tool_calls": [call]}, tool]
    yield ParityCase(group, "tool result", body=json.dumps({"model": "up/counted", "messages": spoken}).encode())
    bounded = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 2**63 - 1}}}
    function = {"name": "f", "description": "Mail ada@example.org", "parameters": bounded}
    yield chat(group, "up/counted", tools=[{"type": "function", "function": function}])


def _hello(model: str) -> bytes:
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello there"}]}).encode()


BODIES = (
    *("{", "", "[]", "null", '"x"', '{"model":"auto"}', '{"messages":[]}', '{"model":"auto","messages":[]}'),
    *('{"model":1,"messages":[{"role":"user","content":"x"}]}', '{"model":"auto","messages":"x"}'),
    *('{"model":"auto","messages":[{"content":"x"}]}', '{"model":"auto","messages":[{"role":"king","content":"x"}]}'),
    *('{"model":"auto","messages":[{"role":"user","content":1}]}', '{"model":"auto","messages":["x"]}'),
    *('{"model":"auto","model":"auto","messages":[{"role":"user","content":"x"}]}',),
    *('{"model":"auto","messages":[{"role":"user","role":"system","content":"x"}]}',),
    *('{"model":"auto","messages":[{"role":"user","content":"x"}],"__proto__":1}',),
    *('{"model":"auto","messages":[{"role":"user","content":"\\ud800"}]}',),
    *('{"model":"auto","messages":[{"role":"user","content":"x"}],"seed":99999999999999999999999}',),
    *('{"model":"nope","messages":[{"role":"user","content":"x"}]}',),
    *('{"model":"auto:nope","messages":[{"role":"user","content":"x"}]}',),
    *('{"model":"echo","messages":[{"role":"user","content":"x"}]}',),
)
FIELDS = (
    *('"temperature":3', '"temperature":"x"', '"top_p":-1', '"n":0', '"n":200', '"max_tokens":0', '"max_tokens":1.5'),
    *('"stream":"yes"', '"tools":{}', '"response_format":[]', '"stop":5', '"logprobs":1', '"top_logprobs":50'),
    *('"presence_penalty":9', '"sizewise":[]', '"sizewise":{"max_ms":0}', '"sizewise":{"data-class":"public"}'),
    *('"temperature":null', '"stop":["a"]', '"user":"x"', '"metadata":{"a":"b"}'),
    '"constructor":1',
)


def _bodies() -> Iterator[ParityCase]:
    group = "bodies, valid and not"
    for text in BODIES:
        yield ParityCase(group, text[:80], body=text.encode("utf-8", "surrogatepass"))
    for each in FIELDS:
        text = _hello("auto").decode()[:-1] + f",{each}}}"
        yield ParityCase(group, each, body=text.encode())
    yield ParityCase(group, "not UTF-8", body=b'{"model":"auto","messages":[{"role":"user","content":"\xff"}]}')
    yield ParityCase(group, "a byte order mark", body=b"\xef\xbb\xbf" + _hello("auto"))
    yield ParityCase(group, "too large", body=b'{"model":"auto","messages":[],"x":"' + b"x" * 70_000 + b'"}')
    yield ParityCase(group, "compressed", body=_hello("auto"), headers={"content-encoding": "gzip"})


PNG = {"type": "base64", "media_type": "image/png", "data": "AA=="}
CONVERSATION = [
    {"role": "user", "content": [{"type": "text", "text": "Weather of Ulm? Mail ada@example.org"}]},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Ulm"}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "Rain", "is_error": True}]},
]
ORDERED = [
    *CONVERSATION[:1],
    {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "order", "input": {"order": ORDER}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": f'{{"order": {ORDER}}}'}]},
]
MESSAGES: Sequence[Mapping[str, object]] = (
    {},
    {"system": "Be brief."},
    {"system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]},
    {"temperature": 0.5, "top_p": 0.9, "stop_sequences": ["END"], "metadata": {"user_id": "u1"}},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]},
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
    {"messages": CONVERSATION, "tools": [{"name": "weather", "input_schema": {"type": "object"}}]},
    {"messages": ORDERED, "tools": [{"name": "order", "input_schema": {"type": "object"}}]},
    {"tools": [{"name": "f", "description": "d", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "f"}},
    {"messages": [{"role": "user", "content": [{"type": "image", "source": PNG}, {"type": "text", "text": "?"}]}]},
    {"sizewise": {"data_class": "confidential"}},
    {"sizewise": {"policy": "held"}},
)
BAD_MESSAGES: Sequence[Mapping[str, object]] = (
    *({"max_tokens": None}, {"max_tokens": 0}, {"messages": "x"}, {"messages": [{"role": "king", "content": "x"}]}),
    *({"temperature": 3}, {"model": "nope"}, {"messages": []}),
)


def _messages() -> Iterator[ParityCase]:
    group = "Anthropic's API"
    usual = {"model": "auto", "max_tokens": 50, "messages": [{"role": "user", "content": "Hello there"}]}
    for more in (*MESSAGES, *BAD_MESSAGES):
        yield _posted(group, "/v1/messages", {**usual, **more}, more)
    for model, stream in product(("auto:held", "up/echo", "here/echo", "up/locked", "up/html", "gpt-4"), (False, True)):
        said = {**usual, "model": model, "stream": stream}
        yield _posted(group, "/v1/messages", said, {"model": model, "stream": stream})
    for words in (*PERSONAL[:2], SECRETS[0]):
        said = {**usual, "model": "up/echo", "stream": True, "messages": [{"role": "user", "content": words}]}
        yield _posted(group, "/v1/messages", said, {"words": words})
    for words in (f'{{"order": {ORDER}}}', f'{{"mail": "ada@example.org", "order": {ORDER}}}'):
        said = {**usual, "model": "up/calls", "messages": [{"role": "user", "content": words}]}
        yield _posted(group, "/v1/messages", said, {"words": words})
    yield ParityCase(group, "a wrong key", path="/v1/messages", body=json.dumps(usual).encode(), key="sk-wrong")


INPUTS = (
    *("Hello there", [{"role": "user", "content": "Hello there"}]),
    [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hello there"}]}],
    [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}],
    [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "output_text", "text": "Ho", "annotations": []}]},
        {"role": "user", "content": "Again"},
    ],
)


def _responses() -> Iterator[ParityCase]:
    group = "OpenAI's Responses API, without state"
    usual = {"model": "auto", "input": "Hello there", "store": False}
    for each, stream in product(INPUTS, (False, True)):
        yield _posted(
            group, "/v1/responses", {**usual, "input": each, "stream": stream}, {"in": each, "stream": stream}
        )
    for more in (
        *(
            {"instructions": "Be brief."},
            {"max_output_tokens": 20, "temperature": 0.5, "top_p": 0.9},
            {"model": "nope"},
        ),
        *({"sizewise": {"data_class": "confidential"}}, {"model": "auto:held"}, {"temperature": 3}, {"input": 5}),
    ):
        yield _posted(group, "/v1/responses", {**usual, **more}, more)
    for model, stream in product(("up/echo", "up/locked", "up/html"), (False, True)):
        said = {**usual, "model": model, "stream": stream, "input": PERSONAL[0]}
        yield _posted(group, "/v1/responses", said, {"model": model, "stream": stream})


def _posted(group: str, path: str, body: Mapping[str, object], what: Mapping[str, object]) -> ParityCase:
    return ParityCase(group, json.dumps(what)[:80], path=path, body=json.dumps(body).encode())


QUESTIONS: Sequence[Mapping[str, object]] = (
    {"type": "predicate", "name": "angry", "instructions": "The customer is angry."},
    {
        "type": "choice",
        "name": "team",
        "instructions": 'Which team answers "this"?',
        "choices": [{"value": "billing", "description": "invoices, \u20ac"}, {"value": "support"}],
    },
    {"type": "choice", "instructions": "Yes?", "choices": [{"value": True}, {"value": "true"}]},
    {"type": "score", "name": "good", "instructions": "How good?", "levels": [{"label": "bad"}, {"label": "good"}]},
    {"type": "predicate", "instructions": [{"type": "input_text", "text": "One"}, {"text": "two"}]},
)
"""Of decisions; the model `echo` answers what the input says."""
SAID = ('{"answer":true}', '{"answer":"billing"}', '{"answer":"true"}', '{"answer":"good"}', "no JSON", '{"answer":7}')


def _decisions() -> Iterator[ParityCase]:
    group, path, first = "decisions", "/v1/decisions", QUESTIONS[0]
    asked: Mapping[str, object]
    for words, question in product(SAID, QUESTIONS):
        asked = {"model": "up/echo", "input": words, "questions": [question]}
        yield _posted(group, path, asked, {"words": words, "question": question["instructions"]})
    for model in (None, "auto", "small", "large", "gpt-4", "nobody", "up/refuses", "auto:blocking", "auto:local"):
        asked = {"model": model, "input": "Write to ada@example.org", "questions": [first]}
        yield _posted(group, path, asked, {"model": model})
    usual = {"model": "up/echo", "input": SAID[0], "questions": [first]}
    changes: Sequence[Mapping[str, object]] = (
        {},
        {"questions": [first, QUESTIONS[2], QUESTIONS[4]]},
        {"input": " "},
        {"input": 7},
        {"input": [{"role": "user", "content": SAID[0]}]},
        {"input": [{"role": "user", "content": "One"}, {"role": "assistant", "content": [{"text": "Two"}]}]},
        {"questions": []},
        {"questions": "no"},
        {"questions": [{"type": "other", "instructions": "x"}]},
        {"questions": [{"type": "predicate"}]},
        {"questions": [{"type": "predicate", "instructions": " "}]},
        {"questions": [{"type": "choice", "instructions": "x", "choices": [{"value": "a"}]}]},
        {"questions": [{"type": "choice", "instructions": "x", "choices": [{"value": "a"}, {"value": "a"}]}]},
        {"questions": [{"type": "choice", "instructions": "x", "choices": [{"value": "a"}, {"value": 1}]}]},
        {"questions": [{"type": "score", "instructions": "x", "levels": [{"label": "a"}, {"label": True}]}]},
        {"unknown": 1},
        {"safety_identifier": "x"},
        {"sizewise": {"policy": "held"}},
        {"sizewise": {"data-class": "confidential"}},
    )
    for more in changes:
        yield _posted(group, path, {**usual, **more}, more)
    yield ParityCase(group, "a wrong key", path=path, body=json.dumps(usual).encode(), key="sk-wrong")


CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMAS: tuple[tuple[str, Mapping[str, object]], ...] = (
    ('{"city": "Rome"}', {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY}}),
    ('{"city": 7}', {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY}}),
    ("no JSON", {"type": "json_schema", "json_schema": {"name": "c", "schema": CITY}}),
    ('{"any": 1}', {"type": "json_object"}),
    ("[1]", {"type": "json_object"}),
    ("words", {"type": "text"}),
)


def _schemas() -> Iterator[ParityCase]:
    """The model `echo` answers what it is asked."""
    group = "JSON schemas"
    for words, shape in SCHEMAS:
        for model, stream in product(("up/echo", "up/plain", "auto:refusing", "auto:held"), (False, True)):
            body = {"model": model, "messages": [{"role": "user", "content": words}], "response_format": shape}
            yield _posted(group, "/v1/chat/completions", {**body, "stream": stream}, {"model": model, "words": words})


def _other_doors() -> Iterator[ParityCase]:
    group = "keys, paths and models"
    yield ParityCase(group, "no key", body=_hello("auto"), key=None)
    yield ParityCase(group, "a wrong key", body=_hello("auto"), key="sk-wrong")
    yield ParityCase(group, "no key, models", path="/v1/models", key=None)
    yield ParityCase(group, "GET of chats", method="GET")
    yield ParityCase(group, "POST of models", path="/v1/models", body=b"{}")
    for name in ("up/plain", "auto", "nope", "small", "counted", "constructor", "a%", "%FF"):
        yield ParityCase(group, f"model {name}", path=f"/v1/models/{name}")
    yield ParityCase(group, "models", path="/v1/models")
    yield ParityCase(group, "no such path", path="/v1/nothing")
    for name in ("constructor", "__defineGetter__", "auto:constructor"):
        yield chat(group, name)
