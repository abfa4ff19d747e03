"""Node that ingests documents into a knowledge base; unchanged documents are skipped."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Annotated

from msgspec import Meta, Struct

from sizewise.data_class import DataClass
from sizewise.errors import BadRequest
from sizewise.flows.language import types
from sizewise.flows.language.types import Json, Type
from sizewise.flows.node import Node, NodeContext, ValidationContext, missing_dependency
from sizewise.knowledge.upload import DocumentUpload
from sizewise.knowledge.vector_store import Tag


class IngestDocument(Struct, frozen=True, forbid_unknown_fields=True):
    """A document: `source` identifies it, and replaces an earlier one; `text`, or its bytes as base64."""

    source: str
    text: str = ""
    data: str = ""
    title: str = ""
    data_class: DataClass | None = None
    readers: list[str] | None = None
    tags: dict[str, Tag] = {}


class IngestNode(Node, frozen=True, kw_only=True):
    """Adds documents to a knowledge base."""

    has_side_effects = True

    knowledge: Annotated[str, Meta(description="Knowledge base.", extra_json_schema={"x-names": "knowledge"})]
    documents: Annotated[
        list[IngestDocument],
        Meta(description="Documents, each with an identifying `source` and either its `text` or its `data` in base64."),
    ]

    @classmethod
    def output_type(cls, context: ValidationContext) -> Type:
        counts = dict.fromkeys(("added", "changed", "same", "passages", "held"), types.INTEGER)
        return Type("object", fields=counts)

    async def run(self, context: NodeContext) -> Json:
        knowledge = context.dependencies.knowledge
        if knowledge is None:
            raise missing_dependency("knowledge", "install the extra: pip install 'sizewise[knowledge]'")
        taken = await knowledge.ingest(context.request, self.knowledge, [_to_document(each) for each in self.documents])
        outcomes = [each.outcome for each in taken]
        counts = {name: outcomes.count(name) for name in ("added", "changed", "same")}
        return {**counts, "passages": sum(t.passages for t in taken), "held": sum(t.held_back for t in taken)}


def _to_document(document: IngestDocument) -> DocumentUpload:
    try:
        data = b64decode(document.data, validate=True) if document.data else document.text.encode()
    except (binascii.Error, ValueError) as error:
        raise BadRequest(
            f"{document.source[:60]!r} is not valid base64", "Send the document's bytes as base64, or its text."
        ) from error
    return DocumentUpload(
        document.source,
        data,
        title=document.title,
        readers=None if document.readers is None else tuple(document.readers),
        data_class=document.data_class,
        tags=document.tags,
    )
