"""Whole answers of named models from the running server, with their log-probabilities and cost; scores nothing."""

from __future__ import annotations

from sizewise.cli.api_client import ApiClient
from sizewise.cli.chat_completion import request_completion
from sizewise.errors import BadRequest, NoModelFits, UpstreamRejected
from sizewise.evals.outcome_job import ModelAnswer

REFUSALS = (BadRequest, NoModelFits, UpstreamRejected)
"""Errors by which a model may refuse log-probabilities."""


class ChatAnswers:
    """`await answers(model, prompt, most)` asks once, greedily. A model that refuses log-probabilities is asked without
    them from then on.
    """

    def __init__(self, server: ApiClient, max_tokens: int, system: str = "") -> None:
        self._server = server
        self._max_tokens = max_tokens
        self._system = [{"role": "system", "content": system}] if system else []
        self._without_logprobs: set[str] = set()

    async def __call__(self, model: str, prompt: str, most: int | None) -> ModelAnswer:
        """`most`: maximum cost in pico-dollars. Raises the server's error."""
        if model in self._without_logprobs:
            return await self._ask(model, prompt, most, logprobs=False)
        try:
            return await self._ask(model, prompt, most, logprobs=True)
        except REFUSALS:
            answer = await self._ask(model, prompt, most, logprobs=False)
            self._without_logprobs.add(model)
            return answer

    async def _ask(self, model: str, prompt: str, most: int | None, *, logprobs: bool) -> ModelAnswer:
        body: dict[str, object] = {
            "model": model,
            "messages": [*self._system, {"role": "user", "content": prompt}],
            "max_tokens": self._max_tokens,
            "temperature": 0,
            "seed": 1,
        }
        if logprobs:
            body["logprobs"] = True
        found = await request_completion(self._server, body, most)
        return ModelAnswer(
            text=found.text,
            tokens_in=found.tokens_in,
            tokens_out=found.tokens_out,
            seconds=found.seconds,
            finish=found.finish,
            cost=found.cost,
            logprobs=found.logprobs,
            answered_by=found.model,
            tokens_thinking=found.tokens_thinking,
        )
