"""Answers of a target to an eval's items, and verdicts of judges, from the running server; scores nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sizewise.cli.api_client import ApiClient
from sizewise.cli.chat_completion import WholeAnswer, request_completion
from sizewise.cli.embedding_request import request_embeddings
from sizewise.data_class import DataClass
from sizewise.evals.runs.eval_items import EvalItem
from sizewise.evals.runs.eval_spec import EvalTarget
from sizewise.evals.runs.item_scorers import TargetAnswer
from sizewise.evals.runs.model_scorers import EmbeddedTexts

EVAL_TAG = "sizewise=eval"
"""Of requests that are no traffic of users."""
VERDICT_TOKENS = 16
"""Maximum tokens of a judge's answer: one word of its scale."""


class EvalTargets:
    """Asks without the response cache: a repeat is a new answer."""

    def __init__(self, server: ApiClient, target: EvalTarget, version: str = "", *, only_here: bool = False) -> None:
        """`version`: of the target's prompt, which the server must have; empty: as it has it. `only_here`: only models
        of the server's machine answer.
        """
        self._server = server
        self._target = target
        self._version = version
        self._limits: Mapping[str, object] = {"online": "deny"} if only_here else {}

    async def ask(self, model: str, item: EvalItem, repeat: int, most: int | None) -> TargetAnswer:
        """`most`: maximum cost in pico-dollars. Raises the server's error."""
        system = [{"role": "system", "content": self._target.system}] if self._target.system else []
        body: dict[str, object] = {
            "model": model,
            "messages": [*system, *item.messages()],
            "max_tokens": self._target.max_tokens,
            "temperature": self._target.temperature,
            "seed": repeat + 1,
        }
        if item.tools:
            body["tools"] = item.tools
        options = self._options(item.data_class)
        if self._target.prompt:
            variables = {**self._target.variables, **item.variables}
            version = {"version": self._version} if self._version else {}
            options = {**options, "prompt": {"id": self._target.prompt, "variables": variables, **version}}
        return _answer(await request_completion(self._server, body, most, options))

    async def judge(self, model: str, prompt: str, most: int | None, data_class: DataClass | None) -> TargetAnswer:
        """`data_class`: of what the prompt holds."""
        message = {"role": "user", "content": prompt}
        body = {"model": model, "messages": [message], "max_tokens": VERDICT_TOKENS, "temperature": 0, "seed": 1}
        return _answer(await request_completion(self._server, body, most, self._options(data_class)))

    async def embed(
        self, model: str, texts: Sequence[str], most: int | None, data_class: DataClass | None
    ) -> EmbeddedTexts:
        return await request_embeddings(self._server, model, texts, most, self._options(data_class))

    def _options(self, data_class: DataClass | None) -> Mapping[str, object]:
        return {**self._limits, "tags": [EVAL_TAG], **({"data-class": data_class} if data_class else {})}


def _answer(found: WholeAnswer) -> TargetAnswer:
    return TargetAnswer(
        text=found.text,
        calls=found.calls,
        tokens=found.tokens_in + found.tokens_out,
        seconds=found.seconds,
        cost=found.cost,
    )
