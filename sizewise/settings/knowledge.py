"""Settings of knowledge bases: vector store, embedding model and sources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sizewise.data_class import DataClass, Place
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import NAME, optional_model, reference, url

SuspectAction = Literal["hold", "mark"]


def optional_url(text: str) -> str:
    return url(text) if text else ""


def optional_reference(text: str) -> str:
    return reference(text) if text else ""


def optional_name(text: str) -> str:
    if text and not NAME.match(text):
        raise ValueError("a name is made of letters, digits, '.', '_' and '-'")
    return text


@dataclass(frozen=True, slots=True)
class RemoteStoreSettings:
    """The server of a store that is somebody else's, such as Weaviate."""

    url: str = setting("", "Where it answers.", validator=optional_url)
    grpc: str = setting("", "Its second door, as `http(s)://host:port`, where it has one.", validator=optional_url)
    key: str = setting("", "Its key, by reference.", validator=optional_reference, secret=True)
    place: Place = setting("anyone", "Where it runs.")
    timeout_s: float = setting(30.0, "Seconds for one call.", minimum=0.1, maximum=600)


@dataclass(frozen=True, slots=True)
class KnowledgeSettings:
    """A knowledge base by its name, in each project its own. One that is not named here is as by default."""

    vector_store: str = setting(
        "",
        "The store of its passages: `qdrant` on this machine, `pgvector` in the Postgres of [database], `weaviate`. "
        "Empty: `pgvector` where [database] names a Postgres, else `qdrant`.",
        validator=optional_name,
    )
    remote: RemoteStoreSettings = setting(RemoteStoreSettings(), "")
    embedding_model: str = setting(
        "",
        "The model that makes its vectors; empty: the only one, or that of this machine.",
        validator=optional_model,
    )
    chunk_tokens: int = setting(
        200,
        "Tokens of a passage at most, as its model counts them.",
        minimum=20,
        maximum=8_000,
    )
    chunk_overlap: int = setting(30, "Tokens of each passage that the next one repeats.", minimum=0, maximum=1_000)
    alpha: float = setting(0.5, "How a search weighs: 1 by meaning alone, 0 by words alone.", minimum=0, maximum=1)
    rerank: str = setting(
        "none",
        "How the best are put in order once more: `none`, `words` (at no cost), or a model or policy that is asked.",
    )
    data_class: DataClass | None = setting(None, "The class of documents that do not say; else that of [router].")
    on_injection: SuspectAction = setting(
        "hold",
        "What becomes of passages that surely give orders to their reader: `hold` them back, or only `mark` them.",
    )
    project: str = setting("default", "The project that `sources` are read for.", validator=optional_name)
    sources: tuple[str, ...] = setting(
        (),
        "Folders, files and URLs that `sizewise knowledge sync NAME` reads, seen from this file.",
    )
    place: Place = setting("anyone", "Where the URLs of `sources` are.")
