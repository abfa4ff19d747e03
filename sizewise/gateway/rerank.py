"""/v1/rerank and /v2/rerank: bytes in, one Request to the application, the ranked documents out."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from sizewise.app.application import Application
from sizewise.errors import BadRequest, SizewiseError, UpstreamProtocolError
from sizewise.flows.as_model import MODEL_PREFIX
from sizewise.gateway.body_reading import read_payload
from sizewise.gateway.error_response import send_error
from sizewise.gateway.relevance_scores import ScoringMethod, by_chat, by_reranker, by_vectors
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.rerank_request import DEFAULT_TOKENS_PER_DOCUMENT, RerankCall, read_rerank
from sizewise.gateway.response_metadata import ResponseMetadata
from sizewise.gateway.response_writer import ResponseWriter
from sizewise.messages import Reply, reply_size

SHORT_BYTES = 16 * 1024
"""Counting the tokens of a shorter body takes the event loop 2 ms at worst."""


async def rerank(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    head.authorize(app, "rerank")
    offload = app.resources.offload
    call, options = await read_payload(offload, read_rerank, body, head.options)
    choose = partial(choose_method, app, call, options.policy)
    method = choose() if len(body) < SHORT_BYTES else await offload.in_thread(choose)
    request = head.request(method.payload, options, "rerank")
    heard = ResponseMetadata()
    try:
        reply = await app.handler(request, heard)
        model = heard.selection.model if heard.selection is not None else reply.model
        written = await offload.run(reply_size(reply), write_ranking, call, method, reply, model, head.trace)
    except SizewiseError as error:
        return await send_error(writer, error, heard.final_headers(head.trace))
    await writer.send_response(200, [], written, heard.header_lines(head.trace))


def choose_method(app: Application, call: RerankCall, policy: str | None) -> ScoringMethod:
    """By the task of the model. Documents are cut to `max_tokens_per_doc`, and to an embedding model's window. Raises
    ModelNotFound, BadBody, BadRequest.
    """
    if call.model.startswith(MODEL_PREFIX):
        told = f"{call.model[:100]!r} is a flow and cannot rank documents"
        raise BadRequest(told, "name an embedding model, a chat model or a reranker", param="model")
    task = app.aliases.rerank_task(call.model, policy)
    embedder, limit = app.knowledge_base.embedder, call.max_tokens_per_doc
    if task == "rerank":
        return by_reranker(call, [embedder.cut(text, limit) for text in call.texts] if limit else call.texts)
    call.refuse_extra()
    limit = limit or DEFAULT_TOKENS_PER_DOCUMENT
    if task == "chat":
        return by_chat(call, [embedder.cut(text, limit) for text in call.texts])
    plan = app.aliases(by_vectors(call, call.query, []).payload)
    window = embedder.max_text_tokens(plan.cards[0].name)
    texts = [embedder.cut(text, min(limit, window)) for text in call.texts]
    return by_vectors(call, embedder.cut(call.query, window), texts)


def write_ranking(call: RerankCall, method: ScoringMethod, reply: Reply, model: str, trace: str) -> bytes:
    """The best `top_n`, equal scores in the order of the documents. Raises UpstreamProtocolError."""
    scores = method.scores(reply)
    if len(scores) != len(call.texts):
        told = f"{model!r} returned {len(scores)} scores for {len(call.texts)} documents"
        raise UpstreamProtocolError(told, "check what this model is for")
    order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
    results: list[dict[str, Any]] = []
    for at in order[: call.top_n]:
        document = {"document": call.returned_document(at)} if call.return_documents else {}
        results.append({"index": at, "relevance_score": scores[at], **document})
    usage = reply.usage
    tokens = {"input_tokens": usage.input, "output_tokens": usage.output}
    meta = {"api_version": {"version": "2"}, "tokens": tokens}
    theirs = reply.fields.get("meta")
    return msgspec.json.encode(
        {
            "id": f"rerank-{trace}",
            "object": "list",
            "model": model,
            "results": results,
            "usage": {"prompt_tokens": usage.input, "total_tokens": usage.input + usage.output},
            "meta": meta if theirs is None else theirs,
            "scoring": method.label,
        }
    )
