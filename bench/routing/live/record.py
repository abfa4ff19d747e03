"""Asks both local models every committed question and writes down what they said; sees only what any client sees.

    python -m bench.routing.live.record      # starts `sizewise up` with a home of its own; about 15 minutes on 2 cores

Greedy, with log-probabilities, one model after the other. Writes prompts.jsonl and outcomes.jsonl as
sizewise/evals/outcomes.py reads them (each outcome has its `logprobs` besides, one a token) and meta.json.
Exit code 3: no server, or a model that does not answer: then nothing is written.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.first_light.check import right
from bench.first_light.run import Server, arguments, exact, served
from bench.routing.live.generated_questions import SEED
from bench.routing.live.questions import QUESTIONS, RECORDED, Question, questions
from sizewise import __version__
from sizewise.catalog.loader import bundled_models
from sizewise.evals.dataset_files import read_dataset
from sizewise.evals.outcomes import RecordedOutcome, RecordedPrompt

LONGEST = 48  # tokens of one reply
DIGITS = 5  # of a log-probability


class Recorded(RecordedOutcome, frozen=True):
    """An outcome with the log-probability of every token of the answer, in their order."""

    logprobs: tuple[float, ...] = ()


def main() -> None:
    parser = arguments()
    parser.set_defaults(max_tokens=LONGEST)
    args = parser.parse_args()
    asked = questions()
    with served(args) as server:
        outcomes = [outcome for model in (args.small, args.large) for outcome in interview(server, asked, model)]
    RECORDED.mkdir(exist_ok=True)
    _write(RECORDED / "prompts.jsonl", [RecordedPrompt(each.id, each.prompt, each.kind) for each in asked])
    _write(RECORDED / "outcomes.jsonl", outcomes)
    about = meta((args.small, args.large), args.max_tokens)
    (RECORDED / "meta.json").write_text(json.dumps(about, indent=2) + "\n")
    read_dataset(RECORDED)  # raises when it is not as it should be


def interview(server: Server, asked: list[Question], model: str) -> list[Recorded]:
    said = [reply(server, exact(model), "Say hello.")]  # loads the weights before any clock that counts
    for number, question in enumerate(asked, 1):
        print(f"\r{model} {number}/{len(asked)} ", end="", file=sys.stderr, flush=True)
        said.append(reply(server, exact(model), question.prompt))
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    return [outcome(model, question, *heard) for question, heard in zip(asked, said[1:], strict=True)]


def reply(server: Server, model: str, prompt: str) -> tuple[Mapping[str, object], float]:
    """The body of OpenAI's answer, and the seconds until it was here whole. Exit code 3 when there is none."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "seed": 1,
        "max_tokens": server.max_tokens,
        "logprobs": True,
    }
    headers = {"authorization": f"Bearer {server.key}", "content-type": "application/json"}
    began = time.perf_counter()
    status, _, raw = server.fetch("POST", "/v1/chat/completions", json.dumps(body).encode(), headers)
    took = time.perf_counter() - began
    if status != 200:
        print(f"{model!r} does not answer: {raw.decode(errors='replace')}", file=sys.stderr)
        raise SystemExit(3)
    told: dict[str, object] = json.loads(raw)
    return told, took


class _Token(msgspec.Struct):
    logprob: float


class _Logprobs(msgspec.Struct):
    content: list[_Token]


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    logprobs: _Logprobs
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int


class _Body(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage


def outcome(model: str, question: Question, body: Mapping[str, object], seconds: float) -> Recorded:
    told = msgspec.convert(body, _Body)
    choice = told.choices[0]
    text = choice.message.content or ""
    probable = tuple(round(token.logprob, DIGITS) for token in choice.logprobs.content)
    return Recorded(
        question.id,
        model,
        float(right(question.check, text)),
        text,
        told.usage.prompt_tokens,
        told.usage.completion_tokens,
        round(sum(probable) / len(probable), DIGITS) if probable else None,
        min(probable, default=None),
        round(seconds, 3),
        choice.finish_reason,
        probable[0] if probable else None,
        logprobs=probable,
    )


def meta(models: tuple[str, ...], longest: int) -> dict[str, object]:
    known = bundled_models()
    return {
        "recorded": datetime.now(UTC).date().isoformat(),
        "questions_sha256": sha256(QUESTIONS.read_bytes()).hexdigest(),
        "seed_of_computed_questions": SEED,
        "asked": {"temperature": 0, "seed": 1, "max_tokens": longest, "logprobs": True, "at_once": 1},
        "models": {name: {"file": known[name].weights.file, "sha256": known[name].weights.sha256} for name in models},
        "versions": {
            "sizewise": __version__,
            "xllamacpp": version("xllamacpp"),
            "python": platform.python_version(),
        },
        "machine": machine(),
    }


def machine() -> str:
    """In words, without a name or a path. Its cores were shared with other work, so seconds are rough."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    chip = f"{platform.system()} on {platform.machine()}"
    return f"{chip}, {os.cpu_count()} shared cores, {memory:.0f} GiB of memory, no GPU"


def _write(path: Path, rows: list[RecordedPrompt] | list[Recorded]) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


if __name__ == "__main__":
    main()
