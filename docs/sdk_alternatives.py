"""What to use instead of SDK methods that have no endpoint here, by resource; knows no SDK."""

from __future__ import annotations

from collections.abc import Mapping

VENDOR = "the vendor's own: call the vendor"
ACCOUNTS = "`sizewise keys`, `users`, `orgs`, `budgets` and `audit`, or [GraphQL](../how-to/graphql.md)"
AGENTS = "[agents](../how-to/agents.md) and [flows](../how-to/flows.md), called as models"
BATCHES = "`/v1/batches` of OpenAI's API, whose requests may name any model here"
COMPACT = "[`previous_response_id`](../how-to/with-responses.md): a stored conversation is sent whole, not compacted"
CODE = "[code in a flow's sandbox](../how-to/tools.md#code)"
CONTEXT = "the whole conversation as `input`, or [`previous_response_id`](../how-to/with-responses.md)"
STORED_CHATS = "[`/v1/responses`](../how-to/with-responses.md): chats are not stored"
STREAMS = "[audio](../how-to/audio-and-images.md) by HTTP: no WebSocket, no calls"

ALTERNATIVES: Mapping[str, str] = {
    "openai.admin": ACCOUNTS,
    "openai.audio": VENDOR,
    "openai.beta.agents": AGENTS,
    "openai.beta.assistants": AGENTS,
    "openai.beta.chat": STORED_CHATS,
    "openai.beta.chatkit": AGENTS,
    "openai.beta.realtime": STREAMS,
    "openai.beta.responses": COMPACT,
    "openai.beta.threads": CONTEXT,
    "openai.chat": STORED_CHATS,
    "openai.containers": CODE,
    "openai.conversations": CONTEXT,
    "openai.fine_tuning": "the vendor, and then the model by its name: nothing is trained here",
    "openai.live": STREAMS,
    "openai.models": "the settings: models are [configured](../how-to/add-a-remote-model.md)",
    "openai.realtime": STREAMS,
    "openai.responses": COMPACT,
    "openai.uploads": "`files.create`, which streams [a file of any length](../how-to/files.md)",
    "openai.webhooks": "[webhooks](../how-to/webhooks.md) of the settings",
    "anthropic.beta.agents": AGENTS,
    "anthropic.beta.files": "OpenAI's `client.files`: [`/v1/files`](../how-to/files.md) has its format",
    "anthropic.beta.memory_stores": "[memory](../how-to/agents.md) of agents and flows",
    "anthropic.beta.messages.batches": BATCHES,
    "anthropic.beta.organization": ACCOUNTS,
    "anthropic.beta.sessions": AGENTS,
    "anthropic.files": "OpenAI's `client.files`: [`/v1/files`](../how-to/files.md) has its format",
    "anthropic.messages.batches": BATCHES,
    "anthropic.organization": ACCOUNTS,
}
"""By the beginning of a resource's name."""


def alternative(resource: str) -> str:
    """By the longest beginning that is listed; the vendor's own where none is."""
    parts = resource.split(".")
    names = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((ALTERNATIVES[name] for name in names if name in ALTERNATIVES), VENDOR)
