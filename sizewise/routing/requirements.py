"""Requirements: what a request needs of a model, with estimates of its tokens and cost; rejects no model."""

from __future__ import annotations

from msgspec import Struct

from sizewise.data_class import DataClass
from sizewise.handler import Request
from sizewise.messages import ChatRequest
from sizewise.model_card import ModelCard, ModelTask
from sizewise.routing.answer_format import AnswerFormat
from sizewise.routing.data_policy import DataPolicy, DataPolicyDecision
from sizewise.routing.policy import RequestFeatures
from sizewise.routing.structured_output import OutputSchema

BYTES_PER_TOKEN = 4  # bytes of UTF-8 text in one token, on average
MAX_BYTES_PER_TOKEN = 8  # and at most, over the whole of any prompt that people really send
TOKENS_PER_MESSAGE = 4  # tokens of the chat template around each message
TOKENS_PER_MEDIA = 800  # tokens of one image, sound or file; only an order of magnitude
DEFAULT_ANSWER_TOKENS = 1_000  # tokens of an answer whose length was not said


class Requirements(Struct, frozen=True):
    """What one request needs of whoever answers it. Tokens are estimates; money is pico-dollars."""

    task: ModelTask
    size: int  # characters the model must read
    features: RequestFeatures
    modalities: frozenset[str]
    data_class: DataClass
    data_decision: DataPolicyDecision  # how far this data may go, and who says so
    max_cost: int | None
    allowed_models: tuple[str, ...] = ()  # that the key may ask; none: all
    output_schema: OutputSchema | None = None  # what every answer must be
    min_window: int | None = None  # tokens of prompt and answer, as the request wishes them


def requirements_of(request: Request, data_policy: DataPolicy, policy: str = "") -> Requirements:
    """What `request` needs, on these terms, where the policy of that name decides."""
    what, options, given, scope = (
        request.payload,
        request.options,
        data_policy.decide(request, policy),
        request.principal.scope,
    )
    if isinstance(what, ChatRequest):
        task: ModelTask = "chat"
        size, sees, media = _measure(what)
        plain = what.n == 1 and not (what.tools or what.schema or what.logprobs)
        tokens = size // BYTES_PER_TOKEN + TOKENS_PER_MESSAGE * len(what.messages) + TOKENS_PER_MEDIA * media
        question = RequestFeatures(
            tokens,
            what.max_tokens,
            what.n,
            what.tools,
            what.schema,
            what.logprobs,
            plain,
            answer_format=AnswerFormat(what),
            min_quality=options.min_quality,
        )
    else:
        task, sees = "embed", frozenset()
        sizes = [len(each) if isinstance(each, str) else len(each) * BYTES_PER_TOKEN for each in what.inputs]
        size = max(sizes, default=0)
        question = RequestFeatures(sum(sizes) // BYTES_PER_TOKEN, 0, is_plain_text=False)
    models = () if scope is None else scope.models
    return Requirements(
        task,
        size,
        question,
        sees,
        given.data_class,
        given,
        options.max_cost,
        models,
        min_window=options.min_context_tokens,
    )


def _measure(chat: ChatRequest) -> tuple[int, frozenset[str], int]:
    """Characters of text, kinds of media and how many there are: a picture's bytes are not words."""
    sees = chat.input_modalities()
    if not sees:
        return chat.prompt_chars(), sees, 0
    tools = chat.fields.get("tools")
    size, media = len(bytes(tools)) if tools is not None else 0, 0
    for message in chat.messages:
        size += len(message.text)
        if isinstance(message.content, list):
            media += sum(1 for part in message.content if part.type not in ("text", "refusal"))
    return size, sees, media


def expected_cost(card: ModelCard, features: RequestFeatures) -> int | None:
    """Pico-dollars for this prompt and the longest answer asked for, or 1,000 tokens where none was said."""
    out = DEFAULT_ANSWER_TOKENS if features.max_tokens is None else features.max_tokens
    return card.price.max_cost(features.prompt_tokens, out * features.choice_count)
