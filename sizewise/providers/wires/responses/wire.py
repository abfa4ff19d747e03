"""OpenAI Responses wire format, assembled from the modules of this package."""

from __future__ import annotations

from sizewise.providers.wires.openai.usage_and_errors import read_error
from sizewise.providers.wires.responses.request_out import write_embed, write_request
from sizewise.providers.wires.responses.response import read_count, read_reply, read_vectors
from sizewise.providers.wires.responses.stream_in import ResponsesStreamReader
from sizewise.providers.wires.wire import Wire

UNCOUNTED_FIELDS = frozenset(
    {
        *("stream", "stream_options", "store", "include", "max_output_tokens", "max_tool_calls", "metadata", "user"),
        *("temperature", "top_p", "top_logprobs", "service_tier", "safety_identifier", "client_metadata"),
        *("prompt_cache_key", "prompt_cache_retention", "prompt_cache_options"),
    },
)
"""Fields that do not change the prompt, and that counting refuses."""

WIRE = Wire(
    chat_path="/responses",
    embed_path="",
    write_request=write_request,
    write_embed=write_embed,
    read_reply=read_reply,
    read_vectors=read_vectors,
    read_stream=ResponsesStreamReader,
    read_error=read_error,
    count_path="/responses/input_tokens",
    read_count=read_count,
    uncounted_fields=UNCOUNTED_FIELDS,
    has_stop=False,
)
