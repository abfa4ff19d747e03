"""OpenAI wire format, with the `/rerank` of compatible servers, assembled from the modules of this package."""

from __future__ import annotations

from sizewise.providers.wires.openai import (
    completion_upstream,
    decision_upstream,
    media_reply,
    media_request,
    moderation,
)
from sizewise.providers.wires.openai.request_response import read_reply, read_vectors, write_embed, write_request
from sizewise.providers.wires.openai.rerank import read_scores, write_rerank
from sizewise.providers.wires.openai.stream_in import OpenAiStreamReader
from sizewise.providers.wires.openai.usage_and_errors import read_error
from sizewise.providers.wires.wire import MediaEndpoints, TextEndpoint, Wire

WIRE = Wire(
    chat_path="/chat/completions",
    embed_path="/embeddings",
    write_request=write_request,
    write_embed=write_embed,
    read_reply=read_reply,
    read_vectors=read_vectors,
    read_stream=OpenAiStreamReader,
    read_error=read_error,
    completions=TextEndpoint(
        chat_path="/completions",
        takes=completion_upstream.is_text_completion,
        write_request=completion_upstream.write_request,
        read_reply=completion_upstream.read_reply,
        read_stream=completion_upstream.CompletionStreamReader,
    ),
    decisions=TextEndpoint(
        chat_path="/decisions",
        takes=decision_upstream.is_decision,
        write_request=decision_upstream.write_request,
        read_reply=decision_upstream.read_reply,
        read_stream=moderation.NoStream,
    ),
    rerank_path="/rerank",
    write_rerank=write_rerank,
    read_scores=read_scores,
    moderations=TextEndpoint(
        chat_path="/moderations",
        takes=moderation.is_moderation,
        write_request=moderation.write_request,
        read_reply=moderation.read_reply,
        read_stream=moderation.NoStream,
    ),
    media=MediaEndpoints(
        write_fields=media_request.write_fields,
        form_fields=media_request.form_fields,
        read_reply=media_reply.read_reply,
        read_stream=media_reply.MediaStreamReader,
        send_reply=media_reply.send_reply,
        audio_delta=media_reply.audio_delta,
    ),
)
