"""Answers of a target to an eval's items, and verdicts of judges, by this server's own handler; scores nothing."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence

import msgspec
from msgspec import UNSET, Raw

from sizewise.data_class import DataClass
from sizewise.errors import UpstreamProtocolError
from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.eval_spec import EvalTarget
from sizewise.evals.runs.item_scorers import TargetAnswer
from sizewise.evals.runs.model_scorers import EmbeddedTexts
from sizewise.handler import AttemptFinished, Event, Handler, Request, RequestOptions
from sizewise.messages import ChatRequest, EmbeddingRequest, Reply
from sizewise.principal import Principal
from sizewise.prompt_reference import PromptReference
from sizewise.providers.wires.openai.request_response import read_request

EVAL_TAG = "sizewise=eval"
"""Of requests that are no traffic of users."""
ENDPOINT = "evals"
VERDICT_TOKENS = 16
"""Maximum tokens of a judge's answer: one word of its scale."""


class _Costs:
    """A `send` that adds up what the attempts cost, in pico-dollars; None: unknown."""

    def __init__(self) -> None:
        self.cost: int | None = 0

    async def __call__(self, event: Event) -> None:
        if isinstance(event, AttemptFinished):
            self.cost = None if self.cost is None or event.cost is None else self.cost + event.cost


class OwnTargets:
    """Asks past the response cache: a repeat is a new answer. `handler`: the present one. `caller`: who asks, with
    current permissions; raises InvalidApiKey.
    """

    def __init__(
        self, handler: Callable[[], Handler], caller: Callable[[], Principal], target: EvalTarget, version: str = ""
    ) -> None:
        """`version`: of the target's prompt, if it has one: answers of another one are errors."""
        self._handler = handler
        self._caller = caller
        self._target = target
        self._version = version
        self._trace = secrets.token_hex(16)

    async def ask(self, model: str, item: EvalItem, repeat: int, most: int | None) -> TargetAnswer:
        """`most`: maximum cost in pico-dollars. Raises SizewiseError."""
        target = self._target
        system = [{"role": "system", "content": target.system}] if target.system else []
        body: dict[str, object] = {
            "model": model,
            "messages": [*system, *item.messages()],
            "max_tokens": target.max_tokens,
            "temperature": target.temperature,
            "seed": repeat + 1,
            **({"tools": item.tools} if item.tools else {}),
        }
        prompt = None
        if target.prompt:
            prompt = PromptReference(target.prompt, self._version, {**target.variables, **item.variables})
        return await self._answer(body, most, item.data_class, prompt)

    async def judge(self, model: str, prompt: str, most: int | None, data_class: DataClass | None) -> TargetAnswer:
        """`data_class`: of what the prompt holds."""
        message = {"role": "user", "content": prompt}
        body = {"model": model, "messages": [message], "max_tokens": VERDICT_TOKENS, "temperature": 0, "seed": 1}
        return await self._answer(body, most, data_class, None)

    async def embed(
        self, model: str, texts: Sequence[str], most: int | None, data_class: DataClass | None
    ) -> EmbeddedTexts:
        """`model`: `auto` is the one on this machine. Raises SizewiseError."""
        inputs = list(texts)
        fields = {"model": Raw(msgspec.json.encode(model)), "input": Raw(msgspec.json.encode(inputs))}
        options = RequestOptions(max_cost=most, data_class=data_class, cache="no-store", tags=(EVAL_TAG,))
        reply, cost = await self._send(EmbeddingRequest(model, inputs, fields), options)
        if len(reply.embeddings) != len(inputs):
            raise UpstreamProtocolError(f"{model!r} lacks vectors", "check that it is an embedding model")
        return EmbeddedTexts(tuple(reply.embeddings), cost)

    async def _answer(
        self,
        body: dict[str, object],
        most: int | None,
        data_class: DataClass | None,
        prompt: PromptReference | None,
    ) -> TargetAnswer:
        chat, _ = read_request(msgspec.json.encode(body))
        options = RequestOptions(
            max_cost=most,
            data_class=data_class,
            cache="no-store",
            tags=(EVAL_TAG,),
            prompt=UNSET if prompt is None else prompt,
        )
        began = time.perf_counter()
        reply, cost = await self._send(chat, options)
        calls = reply.choices[0].tool_calls if reply.choices else ()
        return TargetAnswer(
            text=reply.text,
            calls=tuple((each.function.name, each.function.arguments) for each in calls if each.function is not None),
            tokens=reply.usage.input + reply.usage.output,
            seconds=time.perf_counter() - began,
            cost=cost,
        )

    async def _send(self, payload: ChatRequest | EmbeddingRequest, options: RequestOptions) -> tuple[Reply, int | None]:
        """With what its attempts cost, in pico-dollars."""
        costs = _Costs()
        request = Request(
            payload=payload,
            principal=self._caller(),
            trace_id=self._trace,
            started_at=time.perf_counter(),
            options=options,
            endpoint=ENDPOINT,
            background=True,
        )
        return await self._handler()(request, costs), costs.cost
