"""Schemathesis over the published document: bodies made from it and bodies that break it, and never a fault of ours."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.graphql.graphql_client import admin
from tests.openapi.test_document import operations
from tests.running_server import Served, serving, until

pytestmark = pytest.mark.long

CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
EXAMPLES = 50
"""Of each operation and each mode: half a minute for all of them together."""

SETTINGS = """
[server]
embedded = false
discover = false
[evals]
max_evals = 100000
max_unfinished = 1000
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large", "vectors"]
[models."echo/vectors"]
task = "embed"
"""
MODELS = ("echo/small", "echo/large", "auto", "small")
ADMIN = ("/v1/vector_stores", "/edge")
"""Paths that a key of the project may not use."""
CHECK: Mapping[str, object] = {
    "type": "string_check",
    "name": "same",
    "input": "{{ sample.output_text }}",
    "operation": "eq",
    "reference": "{{ item.a }}",
}
GIVEN: Mapping[str, object] = {
    "type": "jsonl",
    "source": {"type": "file_content", "content": [{"item": {"a": "b"}, "sample": {"output_text": "b"}}]},
}
QUESTION: Mapping[str, object] = {"type": "predicate", "instructions": "It is a greeting."}
KNOWN: Mapping[str, Mapping[str, tuple[object, ...]]] = {
    "/v1/chat/completions": {"model": MODELS},
    "/v1/messages": {"model": MODELS, "messages": ([{"role": "user", "content": "Hello"}],)},
    "/v1/responses": {"model": MODELS, "input": ("Hello", [{"role": "user", "content": "Hello"}])},
    "/v1/responses/input_tokens": {"model": MODELS, "input": ("Hello", [{"role": "user", "content": "Hello"}])},
    "/v1/completions": {"model": MODELS, "prompt": ("Hello", ["Hello", "there"])},
    "/v1/moderations": {"model": (None, "auto"), "input": ("Hello", ["Hello", "there"])},
    "/v1/embeddings": {"model": ("echo/vectors",), "input": ("Hello", ["Hello", "there"]), "dimensions": (8, None)},
    "/v1/decisions": {"model": MODELS, "input": ("Hello",), "questions": ([QUESTION],)},
    "/v1/systemone": {
        "model": MODELS,
        "state": ("Hello",),
        "questions": ({"kind": {"type": "noul", "instructions": "Is it a greeting?"}},),
    },
    "/v1/rerank": {"model": ("echo/vectors",), "query": ("Hello",), "documents": (["Hello", {"text": "there"}],)},
    "/v2/rerank": {"model": ("echo/vectors",), "query": ("Hello",), "documents": (["Hello"],)},
    "/v1/vector_stores": {
        "file_ids": ([], None),
        "metadata": (None, {"k": "v"}),
        "chunking_strategy": ({"type": "auto"},),
    },
    "/v1/vector_stores/{id}": {"metadata": (None, {"k": "v"})},
    "/v1/vector_stores/{id}/search": {
        "query": ("Hello",),
        "filters": (None, {"type": "eq", "key": "k", "value": "v"}),
        "rewrite_query": (None, False),
        "ranking_options": (None, {"ranker": "auto"}),
    },
    "/v1/vector_stores/{id}/files/{file}": {"attributes": (None, {"k": "v"})},
    "/v1/evals": {
        "data_source_config": ({"type": "custom", "item_schema": {"type": "object"}},),
        "testing_criteria": ([CHECK],),
        "metadata": (None, {"k": "v"}),
    },
    "/v1/evals/{id}": {"metadata": (None, {"k": "v"})},
    "/v1/evals/{id}/runs": {"data_source": (GIVEN,), "metadata": (None, {"k": "v"})},
    "/graphql": {"query": ("{ me { name } }", "{ health { ready } }", "{ models { name } }", "{ nonsense }")},
}
"""Of the bodies for a path, half have these in place of what was made up: a random name reaches nothing."""
NEVER = (
    "/v1/batches",
    "/v1/batches/{id}",
    "/v1/batches/{id}/cancel",
    "/v1/vector_stores/{id}/files",
    "/v1/vector_stores/{id}/file_batches",
    "/v1/messages/count_tokens",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/generations",
    "/v1/images/edits",
    "/v1/images/variations",
    "/hooks/flows/{id}",
    "/hooks/git",
    "/edge/join",
    "/edge/release",
    "/edge/releases/{id}",
    "/auth/sign-in",
    "/auth/invitation",
    "/auth/session",
    "/auth/password",
    "/auth/link",
    "/auth/link/redeem",
    "/auth/second-factor",
    "/auth/second-factor/confirm",
    "/auth/second-factor/recovery-codes",
    "/auth/second-factor/remove",
    "/v1/scores",
)
"""The echo counts no tokens exactly and has no audio and no images, so it refuses; nobody signs in by chance, no id of
a file is guessed, and no trace of an answer."""


def cases() -> list[tuple[str, str, GenerationMode]]:
    """Each operation with good data, and each with bad data that takes some at all."""
    return [
        (method, path, mode)
        for (method, path), operation in sorted(operations().items())
        for mode in GenerationMode
        if mode is GenerationMode.POSITIVE or "requestBody" in operation
    ]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("described"), SETTINGS) as served:
        yield served


@pytest.fixture(scope="module")
def described(house: Served) -> Any:
    return schemathesis.openapi.from_url(f"{house.url}/openapi.json")


def stored_response(app: Served, *, background: bool = False) -> str:
    """The id of a response that is there, until it is deleted."""
    body = {"model": "echo/small", "input": "Remember this", "background": background}
    made: Any = app.ask("/v1/responses", body).json
    return str(made["id"])


def stored_file(app: Served) -> str:
    """The same of a file."""
    form = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    body = form % (b"file", b"hello") + form % (b"purpose", b"user_data") + b"--b--\r\n"
    made: Any = app.ask("/v1/files", body, content_type="multipart/form-data; boundary=b").json
    return str(made["id"])


def stored_vector_store(app: Served, path: str) -> dict[str, str]:
    """The ids in the path of a vector store that is there, with one file of one batch."""
    if "{id}" not in path:
        return {}
    key = admin(app)
    made: Any = app.ask("/v1/vector_stores", {"name": "described"}, key=key).json
    ids = {"id": str(made["id"])}
    if "{file}" in path or "{batch}" in path:
        file = stored_file(app)
        batch: Any = app.ask(f"/v1/vector_stores/{made['id']}/file_batches", {"file_ids": [file]}, key=key).json
        ids |= {"file": file} if "{file}" in path else {"batch": str(batch["id"])}
    return ids


def stored_eval(app: Served, path: str) -> dict[str, str]:
    """The ids in the path of an eval that is there, with a run that has ended."""
    if "{id}" not in path:
        return {}
    config = {"type": "custom", "item_schema": {"type": "object"}}
    made: Any = app.ask("/v1/evals", {"data_source_config": config, "testing_criteria": [CHECK]}).json
    ids = {"id": str(made["id"])}
    if "{run}" in path:
        run: Any = app.ask(f"/v1/evals/{made['id']}/runs", {"data_source": GIVEN}).json
        ids["run"] = str(run["id"])
    if "{item}" in path:
        items = f"/v1/evals/{made['id']}/runs/{ids['run']}/output_items"
        until(lambda: app.ask(items).json["data"])  # type: ignore[index]  # JSON
        found: Any = app.ask(items).json
        ids["item"] = found["data"][0]["id"]
    return ids


@pytest.mark.parametrize(("method", "path", "mode"), cases(), ids=str)
def test_whatever_is_sent_the_answer_is_as_described(
    described: Any,
    house: Served,
    method: str,
    path: str,
    mode: GenerationMode,
) -> None:
    before, operation = len(house.said), described[path][method.upper()]
    known = {name: itertools.cycle(values) for name, values in KNOWN.get(path, {}).items()}
    models, seen = itertools.cycle(MODELS), Counter[int]()

    @seed(5)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode))
    def every(case: Any) -> None:
        if sum(seen.values()) % 2 == 0:
            if isinstance(case.body, dict):
                needed = {*case.body, "prompt"}  # which no body of a text completion may lack
                case.body.update({name: next(values) for name, values in known.items() if name in needed})
            if "vector_stores" in path:
                case.path_parameters.update(stored_vector_store(house, path))
            elif path.startswith("/v1/evals"):
                case.path_parameters.update(stored_eval(house, path))
            elif "id" in case.path_parameters:
                case.path_parameters["id"] = (
                    next(models)
                    if "models" in path
                    else stored_file(house)
                    if "files" in path
                    else stored_response(house, background="cancel" in path)
                )
        headers = {"authorization": f"Bearer {admin(house) if path.startswith(ADMIN) else house.key}"}
        response = case.call(headers=headers)
        seen[response.status_code] += 1
        case.validate_response(response, headers=headers, checks=list(CHECKS))

    every()
    assert not [line for line in house.said[before:] if "unforeseen" in line or "Traceback" in line]
    assert mode is GenerationMode.NEGATIVE or path in NEVER or seen[200], f"only {dict(seen)} was seen, and no answer"
