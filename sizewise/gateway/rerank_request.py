"""The body of a rerank request in Cohere's and Jina's shapes, read and checked; scores nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Raw, Struct

from sizewise.errors import BadBody
from sizewise.messages import JsonFields
from sizewise.providers.wires.openai.request_response import decode_client_body

MAX_DOCUMENTS = 1_000
DEFAULT_TOKENS_PER_DOCUMENT = 4_096  # Cohere's
IGNORED_FIELDS = frozenset({"user", "priority"})
"""They change no score."""
REFUSED_FIELDS: Mapping[str, str] = {
    "rank_fields": "put what is to be ranked into `text`",
    "max_chunks_per_doc": "use `max_tokens_per_doc`",
    "input": "use `query` and `documents`",
}


class RerankBody(Struct):
    """What Cohere's v1 and v2 and Jina have in common; other fields go to upstreams that rerank themselves."""

    query: str
    documents: list[str | dict[str, Any]]
    model: str | None = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: Annotated[int, Meta(ge=1)] | None = None


class RerankCall(Struct, frozen=True):
    """`documents` as they were sent, `texts` what is scored of them. `extra`: fields that we do not know."""

    model: str
    query: str
    documents: list[str | dict[str, Any]]
    texts: list[str]
    extra: JsonFields
    top_n: int
    return_documents: bool = False
    max_tokens_per_doc: int | None = None

    def returned_document(self, at: int) -> dict[str, object]:
        sent = self.documents[at]
        return {"text": sent} if isinstance(sent, str) else sent

    def refuse_extra(self) -> None:
        """Raises BadBody for a field that only a reranking upstream could understand."""
        for name in self.extra:
            raise BadBody(
                f"`{name[:100]}` means nothing to a model that is not a reranker",
                'remove it, or name a model with `task = "rerank"`',
                param=name[:100],
            )


_body = msgspec.json.Decoder(RerankBody)


def read_rerank(body: bytes, *, is_checked: bool = False) -> tuple[RerankCall, Raw | None]:
    """The call and the body's `sizewise` object. Raises BadBody."""
    seen, fields = decode_client_body(body, _body, is_checked)
    options = fields.pop("sizewise", None)
    extra = {name: raw for name, raw in fields.items() if name not in RerankBody.__struct_fields__}
    for name, raw in list(extra.items()):
        value = msgspec.json.decode(raw)
        if name in IGNORED_FIELDS or _means_nothing(value) or (name == "rank_fields" and value == ["text"]):
            del extra[name]
        elif name in REFUSED_FIELDS:
            raise BadBody(f"`{name}` is not supported", REFUSED_FIELDS[name], param=name)
    if not seen.query.strip():
        raise BadBody("`query` is empty", "send what the documents are to be compared with", param="query")
    texts = _texts(seen.documents)
    call = RerankCall(
        model=seen.model or "auto",
        query=seen.query,
        documents=seen.documents,
        texts=texts,
        extra=extra,
        top_n=min(seen.top_n or len(texts), len(texts)),
        return_documents=seen.return_documents is True,
        max_tokens_per_doc=seen.max_tokens_per_doc,
    )
    return call, options


def _means_nothing(value: object) -> bool:
    return value is None or value is False or value == [] or value == {}


def _texts(documents: list[str | dict[str, Any]]) -> list[str]:
    """Raises BadBody, with the place of a document without a text."""
    if not documents:
        raise BadBody("`documents` is empty", "send at least one document", param="documents")
    if len(documents) > MAX_DOCUMENTS:
        hint = f"send at most {MAX_DOCUMENTS:,} at a time"
        raise BadBody(f"`documents` has {len(documents):,} documents, too many at once", hint, param="documents")
    texts = []
    for place, each in enumerate(documents):
        text = each if isinstance(each, str) else each.get("text")
        where = f"documents[{place}]"
        if not isinstance(each, str) and each.get("image"):
            raise BadBody(f"`{where}` has an image, and only texts are ranked", "remove `image`", param=where)
        if not isinstance(text, str) or not text.strip():
            raise BadBody(f"`{where}` has no text", 'send a string, or an object such as {"text": "..."}', param=where)
        texts.append(text)
    return texts
