"""Other model servers on this machine are found, named and not believed; nobody there is no trouble."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from sizewise.catalog.discovery import DEADLINE_S, discover_models
from sizewise.model_card import ModelCard
from tests import virtual_time
from tests.catalog.fake_package_index import FakePackageIndex, serving

TAGS = {
    "models": [
        {"name": "llama3.2:3b", "size": 2019393189, "details": {"parameter_size": "3.2B", "families": ["llama"]}},
        {"name": "all-minilm:22m", "details": {"parameter_size": "23M", "families": ["bert"]}},
        {"name": "odd", "details": {"parameter_size": "", "families": None}},
    ],
}
LLAMACPP = {
    "object": "list",
    "models": [{"name": "a.gguf", "details": {"parameter_size": ""}}],
    "data": [{"id": "a.gguf", "object": "model", "owned_by": "llamacpp", "meta": {"n_params": 134515008}}],
}
VLLM = {"object": "list", "data": [{"id": "org/b", "object": "model", "owned_by": "vllm", "max_model_len": 4096}]}


@pytest.fixture
def machine() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def server(machine: ExitStack, path: str, body: object, headers: dict[str, str] | None = None) -> FakePackageIndex:
    package_index = machine.enter_context(serving())
    package_index.headers = headers or {}
    package_index.files[path] = body if isinstance(body, bytes) else json.dumps(body).encode()
    return package_index


def looked(*servers: tuple[str, FakePackageIndex], skip: int = 0) -> dict[str, ModelCard]:
    ports = [(name, int(package_index.url.rpartition(":")[2])) for name, package_index in servers]
    return {card.name: card for card in asyncio.run(discover_models(skip=skip, ports=ports))}


def test_the_chat_models_of_every_server_are_found_with_what_it_says_of_them(machine: ExitStack) -> None:
    ollama = server(machine, "/api/tags", TAGS)
    got = looked(
        ("ollama", ollama),
        ("llamacpp", server(machine, "/v1/models", LLAMACPP)),
        ("vllm", server(machine, "/v1/models", VLLM)),
    )
    assert set(got) == {"ollama/llama3.2:3b", "ollama/odd", "llamacpp/a.gguf", "vllm/org/b"}
    llama, odd, vllm = got["ollama/llama3.2:3b"], got["ollama/odd"], got["vllm/org/b"]
    assert (llama.parameters, llama.size, odd.parameters) == (3_200_000_000, "slm", None)
    assert (llama.endpoint.base_url, llama.model) == (f"{ollama.url}/v1", "llama3.2:3b")
    assert (vllm.context, vllm.model) == (4096, "org/b")
    assert got["llamacpp/a.gguf"].parameters == 134_515_008


EMBEDDING = ("text-embedding-nomic-embed-text-v1.5", "Qwen/Qwen3-Embedding-0.6B", "BAAI/bge-m3", "intfloat/e5-large-v2")
CHAT = ("qwen3-0.6b", "google/gemma-3-4b", "org/code5-large")


@pytest.mark.parametrize("name", ["lmstudio", "vllm"])
def test_embedding_models_are_not_taken_for_chat_models(machine: ExitStack, name: str) -> None:
    listed = server(machine, "/v1/models", {"data": [{"id": each} for each in (*EMBEDDING, *CHAT)]})
    assert set(looked((name, listed))) == {f"{name}/{each}" for each in CHAT}


def test_an_embedding_model_of_another_family_than_bert_is_known_by_its_name(machine: ExitStack) -> None:
    tags = {"models": [{"name": "embeddinggemma:300m", "details": {"families": ["gemma3"]}}, *TAGS["models"]]}
    assert set(looked(("ollama", server(machine, "/api/tags", tags)))) == {"ollama/llama3.2:3b", "ollama/odd"}


def test_an_address_on_this_machine_proves_no_place_and_the_card_says_so(machine: ExitStack) -> None:
    package_index = server(machine, "/api/tags", TAGS)
    card = looked(("ollama", package_index))["ollama/odd"]
    assert card.place == "anyone" and card.price.input is None
    assert package_index.url in card.facts["place"] and "[providers.ollama]" in card.facts["place"]


def test_another_sizewise_is_left_alone(machine: ExitStack) -> None:
    locked = server(machine, "/v1/models", VLLM)
    locked.statuses["/v1/models"] = 401
    assert looked(("a", locked), ("b", server(machine, "/v1/models", VLLM, {"x-sizewise-model": "a"}))) == {}


def test_our_own_port_is_not_asked(machine: ExitStack) -> None:
    ours = server(machine, "/v1/models", VLLM)
    assert looked(("llamacpp", ours), skip=int(ours.url.rpartition(":")[2])) == {}
    assert ours.asked == []


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"data": 3}', b'{"data": [{"id": null}]}', b'"\xff"'])
def test_a_server_of_another_kind_is_passed_over(machine: ExitStack, body: bytes) -> None:
    package_index = server(machine, "/v1/models", body)
    package_index.files["/api/tags"] = body
    assert looked(("ollama", package_index), ("llamacpp", package_index)) == {}


def test_nobody_there_and_somebody_silent_are_given_up_in_a_moment(machine: ExitStack) -> None:
    silent = machine.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
    empty = socket.create_server(("127.0.0.1", 0))
    ports = [("silent", silent.getsockname()[1]), ("empty", empty.getsockname()[1])]
    empty.close()

    async def look() -> None:
        assert await discover_models(skip=0, ports=ports) == ()
        assert virtual_time.now() == pytest.approx(DEADLINE_S)

    virtual_time.run(look())
