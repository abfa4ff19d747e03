"""Requirements: what a request needs of a model, with estimates of its tokens and cost; rejects no model."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.handler import Request
from sizewise.messages import ChatRequest, MediaRequest
from sizewise.model_card import ModelCard, ModelTask
from sizewise.routing.agent_turn import agent_turn
from sizewise.routing.answer_format import AnswerFormat
from sizewise.routing.data_policy import DataPolicy, DataPolicyDecision
from sizewise.routing.policy import RequestFeatures
from sizewise.routing.structured_output import OutputSchema

BYTES_PER_TOKEN = 4  # bytes of UTF-8 text in one token, on average
MAX_BYTES_PER_TOKEN = 8  # and at most, over a whole prompt of real use
ESTIMATE_MARGIN = 1.35  # tokens of prose, code and JSON by their estimate, at most; see prompt_count.py
TOKENS_PER_MESSAGE = 4  # tokens of the chat template around each message
TOKENS_PER_MEDIA = 800  # tokens of one image, audio or file part; only an order of magnitude
DEFAULT_ANSWER_TOKENS = 1_000  # tokens of an answer without a maximum


class Requirements(Struct, frozen=True):
    """The requirements of one request. Tokens are estimates; money is pico-dollars."""

    task: ModelTask
    size: int  # bytes that the model must read
    features: RequestFeatures
    modalities: frozenset[str]
    data_class: DataClass
    data_decision: DataPolicyDecision  # how far this data may go, and why
    max_cost: int | None
    allowed_models: tuple[str, ...] = ()  # that the key may use; empty: all
    output_schema: OutputSchema | None = None  # that every answer must satisfy
    min_window: int | None = None  # requested context window, in tokens
    counts: Mapping[str, int] = {}  # exact tokens of the prompt by model name, where they were counted
    keeps_room: bool = False  # an answer without a maximum needs room in the window too
    effort: str = ""  # that the request sets; empty: the policy may choose it
    margin: float = ESTIMATE_MARGIN  # times as many tokens as estimated must fit, where several models could answer


def requirements_of(request: Request, data_policy: DataPolicy, policy: str = "") -> Requirements:
    """The requirements of `request` under `data_policy` and the policy of this name."""
    what, options, given, scope = (
        request.payload,
        request.options,
        data_policy.decide(request, policy),
        request.principal.scope,
    )
    if isinstance(what, ChatRequest):
        size, sees, media = _measure(what)
        plain = what.n == 1 and not (what.tools or what.schema or what.logprobs)
        tokens = size // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE * len(what.messages) + TOKENS_PER_MEDIA * media
        question = RequestFeatures(
            prompt_tokens=tokens,
            max_tokens=what.max_tokens,
            choice_count=what.n,
            tools=what.tools,
            schema=what.schema,
            logprobs=what.logprobs,
            is_plain_text=plain,
            answer_format=AnswerFormat(what),
            turn=agent_turn(what) if what.tools or (what.messages and what.messages[-1].role == "tool") else None,
            min_quality=options.min_quality,
            media=what.most if isinstance(what, MediaRequest) else None,
        )
    else:
        sees = frozenset()
        sizes = [text_bytes(each) if isinstance(each, str) else len(each) * BYTES_PER_TOKEN for each in what.inputs]
        size = max(sizes, default=0)
        question = RequestFeatures(sum(sizes) // BYTES_PER_TOKEN, 0, is_plain_text=False)
    models = () if scope is None else scope.models
    return Requirements(
        task=what.task,
        size=size,
        features=question,
        modalities=sees,
        data_class=given.data_class,
        data_decision=given,
        max_cost=options.max_cost,
        allowed_models=models,
        min_window=options.min_context_tokens,
        effort=_asked_effort(what) if isinstance(what, ChatRequest) else "",
    )


def _asked_effort(chat: ChatRequest) -> str:
    raw = chat.fields.get("reasoning_effort")
    told = None if raw is None else msgspec.json.decode(raw)
    return told if isinstance(told, str) else ""


def _measure(chat: ChatRequest) -> tuple[int, frozenset[str], int]:
    """Bytes to read, modalities, and number of media parts, whose bytes do not count as text."""
    sees = chat.input_modalities()
    if not sees:
        return chat.prompt_bytes(), sees, 0
    tools = chat.fields.get("tools")
    size, media = len(bytes(tools)) if tools is not None else 0, 0
    for message in chat.messages:
        size += text_bytes(message.text)
        if isinstance(message.content, list):
            media += sum(1 for part in message.content if part.type not in ("text", "refusal"))
    return size, sees, media


def text_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def expected_cost(card: ModelCard, features: RequestFeatures) -> int | None:
    """Pico-dollars for this prompt and the longest answer requested (default 1,000 tokens), or for all audio and
    images; None if unknown.
    """
    price = card.price
    if features.media is not None:
        return price.media_upper_bound(features.media, card.context, card.max_output)
    out = DEFAULT_ANSWER_TOKENS if features.max_tokens is None else features.max_tokens
    calls = features.choice_count if card.makes_single_choices else 1
    cost = price.max_cost(features.prompt_tokens, out * (features.choice_count // calls))
    if cost is None:
        return None
    return calls * (cost if price.units is None else cost + (price.units.request or 0))
