"""Settings of knowledge bases: vector store, embedding model and sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.data_class import DataClass, Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import NAME, optional_model, reference, url

SuspectAction = Literal["hold_hidden", "hold", "mark"]


def optional_url(text: str) -> str:
    return url(text) if text else ""


def optional_reference(text: str) -> str:
    return reference(text) if text else ""


def optional_name(text: str) -> str:
    if text and not NAME.match(text):
        raise ValueError("a name consists of letters, digits, '.', '_' and '-'")
    return text


@dataclass(frozen=True, slots=True)
class RemoteStoreSettings:
    """The server of a remote vector store, such as Weaviate."""

    url: str = setting("", "Base URL.", validator=optional_url)
    grpc: str = setting(
        "", "gRPC endpoint, as `http(s)://host:port`, for stores that have one.", validator=optional_url
    )
    key: str = setting("", "API key by reference.", validator=optional_reference, secret=True)
    place: Place = setting("anyone", "Where it runs.")
    timeout_s: float = setting(30.0, "Timeout of one call in seconds.", minimum=0.1, maximum=600)


@dataclass(frozen=True, slots=True)
class KnowledgeSettings:
    """A knowledge base, separate in each project. A base with a table here is there, empty, before its first document;
    one without uses the defaults; those that `/v1/vector_stores` made use the table `vector_stores`.
    """

    vector_store: str = setting(
        "",
        "Vector store: `qdrant` on this machine, `pgvector` in the Postgres of [database], or `weaviate`. Empty: "
        "`pgvector` if [database] is a Postgres, else `qdrant`.",
        validator=optional_name,
    )
    remote: RemoteStoreSettings = setting(RemoteStoreSettings(), "")
    embedding_model: str = setting(
        "",
        "Embedding model; empty: the only one configured, or the one on this machine.",
        validator=optional_model,
    )
    chunk_tokens: int = setting(
        200,
        "Maximum tokens per chunk, counted by the embedding model's tokenizer.",
        minimum=20,
        maximum=8_000,
    )
    chunk_overlap: int = setting(30, "Tokens that each chunk repeats from the one before.", minimum=0, maximum=1_000)
    alpha: float = setting(0.5, "Weight of hybrid search: 1 is semantic only, 0 is keyword only.", minimum=0, maximum=1)
    rerank: str = setting(
        "none",
        "Reranker of the top results: `none`, `words` (free of cost), or a model or policy.",
    )
    data_class: DataClass | None = setting(None, "Data class of documents that set none; unset: that of [router].")
    on_injection: SuspectAction = setting(
        "hold_hidden",
        "Which chunks that look like prompt injection are quarantined: `hold_hidden` (those with text that its readers "
        "do not see, or with a trigger phrase), `hold` (also those of which the classifier is sure) or `mark` (none). "
        "The others are found, and marked as suspect.",
    )
    project: str = setting(
        "default",
        "Project that has the base before its first document, and that `sources` are ingested into.",
        validator=optional_name,
    )
    sources: tuple[str, ...] = setting(
        (),
        "Folders, files and URLs that `sizewise knowledge sync NAME` ingests, relative to this file.",
    )
    place: Place = setting("anyone", "Where the URLs of `sources` are.")
