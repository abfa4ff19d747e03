"""A server that embeds, its official SDK with strict response types, and files in vector stores; judges nothing."""

from __future__ import annotations

from typing import Any

from openai import OpenAI
from openai.types import VectorStore

from tests.graphql.graphql_client import graphql
from tests.knowledge.knowledge_server import CONFIG
from tests.running_server import Served

SETTINGS = f"""{CONFIG}
[knowledge.vector_stores]
alpha = 0.1
[projects.other]
"""
RHINE = b"# Rivers\n\nThe Rhine is 1,230 km long and ends in the North Sea.\n"
LEAVE = b"# Leave\n\nEmployees have thirty days of leave each year.\n"


def key_of(server: Served, permissions: list[str], project: str = "default", endpoints: list[str] | None = None) -> str:
    made = graphql(
        server,
        "mutation($m: [Permission!], $p: String!, $e: [String!]) "
        '{ createKey(name: "t", permissions: $m, project: $p, endpoints: $e) { secret } }',
        m=permissions,
        p=project,
        e=endpoints or [],
    )
    assert made.errors == [], made.errors
    return str(made.data["createKey"]["secret"])


MANAGER = ["ask", "manage_knowledge"]


def sdk(server: Served, key: str = "") -> OpenAI:
    """With a new key that may manage knowledge, unless one is passed."""
    return OpenAI(
        base_url=f"{server.url}/v1",
        api_key=key or key_of(server, MANAGER),
        max_retries=0,
        _strict_response_validation=True,
    )


def uploaded(client: OpenAI, name: str, content: bytes = RHINE, **more: Any) -> str:
    return client.files.create(file=(name, content), purpose="assistants", **more).id


def store_with(client: OpenAI, **files: bytes) -> VectorStore:
    """A vector store with files that are embedded. `files`: a name with _ for its dot, and the content."""
    store = client.vector_stores.create(name="docs")
    for name, content in files.items():
        made = client.vector_stores.files.create_and_poll(
            uploaded(client, name.replace("_", "."), content), vector_store_id=store.id, poll_interval_ms=20
        )
        assert made.status == "completed", made
    return client.vector_stores.retrieve(store.id)
