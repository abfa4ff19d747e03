"""Self-test of a local model after it was pulled: pace, memory, tools, languages and 200 questions, in minutes.

It starts the model as the server would, in a worker process of its own. A figure is of this machine and of this day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from sizewise.catalog.self_tests import SelfTest
from sizewise.errors import SizewiseError
from sizewise.messages import ToolCall
from sizewise.providers.local.gpu_layers import GpuLayers
from sizewise.providers.local.language_test import QUESTIONS, measure_languages
from sizewise.providers.local.llamacpp import LlamaCppModel
from sizewise.providers.local.question_test import QuestionScore, measure_questions
from sizewise.providers.local.runtime import LocalRuntime

CONTEXT = 2048  # tokens
OUTPUT_TOKENS = 32
PARAGRAPH = "The gateway sends each question to the smallest model that answers it well enough, and keeps a record. "
PROMPT = PARAGRAPH * 8 + "Say in one sentence what the gateway does."
SCRIPTS: Mapping[str, str] = MappingProxyType(
    {
        "en": "All human beings are born free and equal in dignity and rights.",
        "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
        "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
        "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
        "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
        "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
        "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
        "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
        "zh": "人人生而自由,在尊严和权利上一律平等。",
        "ko": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    },
)
"""Article 1 of the Universal Declaration of Human Rights in ten scripts or spellings, by ISO 639 code."""
TOOL_NAME = "get_weather"
TOOL: Mapping[str, object] = {
    "type": "function",
    "function": {
        "name": TOOL_NAME,
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


CallsOf = Callable[[str], Sequence[ToolCall]]
"""The tool calls that are written in an answer."""


def no_calls(text: str) -> Sequence[ToolCall]:
    return ()


Stage = Literal["load", "pace", "tools", "languages", "questions"]
Progress = Callable[[Stage, int, int], None]
"""Called when a stage begins, and with how much of it is done, of how much."""


def no_progress(stage: Stage, done: int, count: int) -> None:
    pass


async def run_self_test(
    name: str,
    path: Path,
    threads: int = 0,
    gpu_layers: GpuLayers = "auto",
    calls_of: CallsOf = no_calls,
    progress: Progress = no_progress,
    *,
    questions: bool = False,
) -> SelfTest:
    """`questions`: whether the 200 are asked. Raises ModelUnavailable if the model cannot be loaded."""
    progress("load", 0, 1)
    model = LlamaCppModel(name, path, LocalRuntime(context=CONTEXT, slots=1, threads=threads, gpu_layers=gpu_layers))
    await model.start()
    try:
        progress("pace", 0, 1)
        timings = await _timings(model)
        empty = await model.count_tokens(_body("a"))
        density = {}
        for language, text in SCRIPTS.items():
            tokens = await model.count_tokens(_body(text)) - empty + 1
            density[language] = round(max(tokens, 1) / len(text), 3)
        progress("tools", 0, 1)
        tools = await _calls_a_tool(model, calls_of)
        answer = partial(_answer, model)
        progress("languages", 0, len(QUESTIONS))
        languages = await measure_languages(answer, partial(progress, "languages"))
        score = await measure_questions(answer, partial(progress, "questions")) if questions else QuestionScore(0, 0)
        return SelfTest(
            date=date.today().isoformat(),
            prompt_tokens_per_s=round(float(timings["prompt_per_second"]), 1),
            output_tokens_per_s=round(float(timings["predicted_per_second"]), 1),
            memory_bytes=model.health().memory,
            tools=tools,
            tokens_per_character=density,
            right_answers=languages,
            questions_asked=score.asked,
            questions_right=score.right,
        )
    finally:
        await model.stop()


async def _timings(model: LlamaCppModel) -> dict[str, Any]:
    chunks = await _chat(model, _body(PROMPT, max_tokens=OUTPUT_TOKENS, temperature=0))
    found = [chunk["timings"] for chunk in chunks if chunk.get("timings")]
    return found[-1] if found else {"prompt_per_second": 0, "predicted_per_second": 0}


async def _calls_a_tool(model: LlamaCppModel, calls_of: CallsOf) -> bool:
    """One question that only the tool can answer; the arguments must be JSON with a city. The call may be written as
    text, as the server takes it for one.
    """
    body = _body("What is the weather in Paris now?", tools=[TOOL], max_tokens=96, temperature=0)
    try:
        chunks = await _chat(model, body)
    except SizewiseError:  # the template has no place for tools
        return False
    name = arguments = text = ""
    for chunk in chunks:
        for choice in chunk.get("choices") or ():
            delta = choice.get("delta") or {}
            text += delta.get("content") or ""
            for call in delta.get("tool_calls") or ():
                name += (call.get("function") or {}).get("name") or ""
                arguments += (call.get("function") or {}).get("arguments") or ""
    written = [call.function for call in calls_of(text) if call.function is not None]
    if not name and written:
        name, arguments = written[0].name, written[0].arguments
    try:
        return name == TOOL_NAME and isinstance(json.loads(arguments)["city"], str)
    except (ValueError, KeyError, TypeError):
        return False


async def _answer(model: LlamaCppModel, question: str, max_tokens: int) -> str:
    chunks = await _chat(model, _body(question, max_tokens=max_tokens, temperature=0))
    deltas = [choice.get("delta") or {} for chunk in chunks for choice in chunk.get("choices") or ()]
    return "".join(delta.get("content") or "" for delta in deltas)


async def _chat(model: LlamaCppModel, body: bytes) -> list[dict[str, Any]]:
    chunks: list[dict[str, Any]] = []

    async def keep(frame: bytes) -> None:
        chunks.append(json.loads(frame))

    await model.chat(body, keep)
    return chunks


def _body(text: str, **more: object) -> bytes:
    return json.dumps({"model": "self-test", "messages": [{"role": "user", "content": text}], **more}).encode()
