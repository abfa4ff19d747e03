"""Answers of an embedded model to the prompts of a task, with or without an adapter; greedy, and scored by equality."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from sizewise.providers.local.llamacpp import LlamaCppModel
from sizewise.providers.local.models import ADAPTER_FIELD
from sizewise.providers.local.runtime import LocalRuntime
from sizewise.tuning.examples import Example, PromptMessage

CONTEXT = 4096  # tokens
Progress = Callable[[int, int], None]


class GreedyAnswer(Struct, frozen=True):
    """`logprobs`: of its tokens."""

    text: str
    logprobs: tuple[float, ...]


@asynccontextmanager
async def running_model(
    name: str, file: Path, threads: int, adapter: Path | None = None
) -> AsyncIterator[LlamaCppModel]:
    """The model in a process of its own. Raises ModelUnavailable."""
    shown = "" if adapter is None else str(adapter)
    model = LlamaCppModel(name, file, LocalRuntime(context=CONTEXT, slots=1, threads=threads, batch=64, adapters=shown))
    await model.start()
    try:
        yield model
    finally:
        await model.stop()


def prompt_body(prompt: Sequence[PromptMessage], **more: object) -> bytes:
    messages = [{"role": each.role, "content": each.content} for each in prompt]
    return json.dumps({"messages": messages, **more}).encode()


async def ask_all(
    model: LlamaCppModel,
    prompts: Sequence[Sequence[PromptMessage]],
    answer_tokens: int,
    *,
    adapted: bool = False,
    options: Sequence[str] = (),
    progress: Progress,
) -> list[GreedyAnswer]:
    """`options`: nothing else can be answered; empty: anything."""
    more: dict[str, object] = {ADAPTER_FIELD: [{"id": 0, "scale": 1.0}]} if adapted else {}
    if options:
        more["grammar"] = "root ::= " + " | ".join(json.dumps(each) for each in options)
    found = []
    for at, prompt in enumerate(prompts):
        body = prompt_body(prompt, temperature=0, max_tokens=answer_tokens, logprobs=True, **more)
        found.append(await _ask(model, body))
        progress(at + 1, len(prompts))
    return found


async def _ask(model: LlamaCppModel, body: bytes) -> GreedyAnswer:
    text, logs = "", list[float]()

    async def take(frame: bytes) -> None:
        nonlocal text
        for choice in json.loads(frame).get("choices") or ():
            text += (choice.get("delta") or {}).get("content") or ""
            logs.extend(each["logprob"] for each in (choice.get("logprobs") or {}).get("content") or ())

    await model.chat(body, take)
    return GreedyAnswer(text, tuple(logs))


def with_options(prompt: Sequence[PromptMessage], options: Sequence[str]) -> list[PromptMessage]:
    """The prompt of a model that does not know the task: its instructions list the answers."""
    said = f"Answer with exactly one of: {', '.join(options)}."
    if prompt[0].role == "system":
        return [PromptMessage("system", f"{prompt[0].content}\n{said}"), *prompt[1:]]
    return [PromptMessage("system", said), *prompt]


def is_right(answers: Sequence[GreedyAnswer], examples: Sequence[Example]) -> tuple[bool, ...]:
    return tuple(said.text.strip() == each.answer for said, each in zip(answers, examples, strict=True))
