"""Examples of a task: prompts with the answer that is wanted, from JSONL or in memory, each once; asks no model."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
from msgspec import Struct

from sizewise.errors import BadRequest

MIN_EXAMPLES = 40
MAX_EXAMPLES = 50_000
MAX_CHARS = 20_000
HELD_OUT_SHARE, MAX_HELD_OUT = 0.2, 240
HELD_OUT_OF = 5
FORMS = 'Each line is {"messages": [..., {"role": "assistant", ...}]} or {"input": "...", "output": "..."}.'


class PromptMessage(Struct, frozen=True):
    role: str
    content: str


class Example(Struct, frozen=True):
    """`prompt`: all that is said before the answer."""

    prompt: tuple[PromptMessage, ...]
    answer: str

    @property
    def input(self) -> str:
        return self.prompt[-1].content


class _Row(Struct):
    messages: list[PromptMessage] | None = None
    input: str | None = None
    output: str | None = None


class TaskExamples(Struct, frozen=True):
    """`train` and `test` share no prompt. `answers`: all different ones, the most frequent first."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    answers: tuple[str, ...]
    digest: str
    duplicates: int
    contradictions: int

    @property
    def is_closed(self) -> bool:
        """Whether few answers occur again and again, so that a classifier could give them."""
        return len(self.answers) <= 256 and len(self.answers) * 4 <= len(self.train) + len(self.test)


class ExampleFiles(Struct, frozen=True):
    """JSONL at absolute paths. `test`: empty: a fifth of `data` is held out. `instructions`: as of `read_examples`."""

    data: str
    test: str
    instructions: str

    def read(self) -> TaskExamples:
        """Raises BadRequest with file and line."""
        return read_examples(Path(self.data), Path(self.test) if self.test else None, self.instructions)


class KeptExamples(Struct, frozen=True):
    """Texts of a decision with their answers, which no file has. `instructions`: the system message of all."""

    rows: tuple[tuple[str, str], ...]
    instructions: str
    data: ClassVar[str] = ""
    test: ClassVar[str] = ""

    def read(self) -> TaskExamples:
        """Raises BadRequest with the number of a row."""
        found, held = list[Example](), list[Example]()
        for at, (text, answer) in enumerate(self.rows, 1):
            prompt = (PromptMessage("user", text),)
            each = _checked(prompt, answer, f"kept answer {at}", self.instructions)
            (held if is_held_out(text) else found).append(each)
        if not held:
            raise BadRequest("none of the kept answers is held out", "Keep more answers: a fifth of them is held out.")
        return _task_examples(found, held, "the decision")


ExampleSource = ExampleFiles | KeptExamples


def is_held_out(text: str) -> bool:
    """A fifth of all texts of a decision is never learned: the gate asks them, and the rung is fitted to them."""
    return hashlib.sha256(text.encode()).digest()[0] % HELD_OUT_OF == 0


def read_examples(file: Path, test: Path | None, instructions: str) -> TaskExamples:
    """`test`: held out; None: a fifth of `file`, chosen by a hash of the prompt. `instructions`: the system message of
    rows without one. Raises BadRequest with file and line.
    """
    rows, held = _read(file, instructions), None if test is None else _read(test, instructions)
    if held is not None and not held:
        raise BadRequest(f"{str(test)!r} has no examples", "Give held-out examples, or none: then a fifth is held out.")
    return _task_examples(rows, held, repr(str(file)))


def _task_examples(rows: Sequence[Example], held: Sequence[Example] | None, source: str) -> TaskExamples:
    """`held`: None: a fifth of `rows`. `source`: as errors name it. Raises BadRequest."""
    known = {each.prompt for each in held or ()}
    kept = [each for each in rows if each.prompt not in known]
    found, duplicates, contradictions = _distinct(kept)
    if len(found) < MIN_EXAMPLES:
        without = [f"{len(rows) - len(kept)} that are held out"] if len(kept) < len(rows) else []
        without += [f"{contradictions} that have several answers"] if contradictions else []
        left = f", without {' and '.join(without)}" if without else ""
        raise BadRequest(
            f"{source} has {len(found)} different examples{left}, and tuning needs at least {MIN_EXAMPLES}",
            "Add examples. A head on vectors needs none of them: see `sizewise decisions`.",
        )
    if held is None:
        ordered = sorted(found, key=_hash)
        count = min(MAX_HELD_OUT, int(len(ordered) * HELD_OUT_SHARE))
        held, found = ordered[:count], ordered[count:]
    else:
        held = _distinct(held)[0]
    counted = Counter(each.answer for each in (*found, *held))
    if len(counted) < 2:
        raise BadRequest(f"every example of {source} has the same answer", "Add examples of other answers.")
    digest = hashlib.sha256(msgspec.json.encode((found, held))).hexdigest()
    answers = tuple(answer for answer, _ in counted.most_common())
    return TaskExamples(
        train=tuple(found),
        test=tuple(held),
        answers=answers,
        digest=digest,
        duplicates=duplicates,
        contradictions=contradictions,
    )


def _read(file: Path, instructions: str) -> list[Example]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except OSError as why:
        raise BadRequest(f"{str(file)!r} cannot be read: {why.strerror}", "Give a JSONL file in UTF-8.") from why
    except UnicodeDecodeError as why:
        raise BadRequest(f"{str(file)!r} cannot be read: {why}", "Give a JSONL file in UTF-8.") from why
    found = [_example(line, f"{file}:{at}", instructions) for at, line in enumerate(lines, 1) if line.strip()]
    if len(found) > MAX_EXAMPLES:
        raise BadRequest(f"{str(file)!r} has {len(found):,} examples", f"Give at most {MAX_EXAMPLES:,}.")
    return found


def _example(line: str, where: str, instructions: str) -> Example:
    try:
        row = msgspec.json.decode(line, type=_Row)
    except msgspec.DecodeError as why:
        raise BadRequest(f"{where}: {why}", FORMS) from why
    if row.messages and row.messages[-1].role == "assistant":
        prompt, answer = tuple(row.messages[:-1]), row.messages[-1].content
    elif row.input is not None and row.output is not None:
        prompt, answer = (PromptMessage("user", row.input),), row.output
    else:
        raise BadRequest(f"{where}: it has no answer", FORMS)
    return _checked(prompt, answer, where, instructions)


def _checked(prompt: tuple[PromptMessage, ...], answer: str, where: str, instructions: str) -> Example:
    """With the instructions, where it has none. Raises BadRequest."""
    if not prompt or prompt[-1].role != "user" or not prompt[-1].content.strip():
        raise BadRequest(f"{where}: the message before the answer is not the user's", FORMS)
    if not answer.strip():
        raise BadRequest(f"{where}: the answer is empty", FORMS)
    if sum(len(each.content) for each in prompt) + len(answer) > MAX_CHARS:
        raise BadRequest(f"{where}: it is longer than {MAX_CHARS:,} characters", "Shorten it, or leave it out.")
    if instructions and prompt[0].role != "system":
        prompt = (PromptMessage("system", instructions), *prompt)
    return Example(prompt, answer.strip())


def _distinct(rows: Sequence[Example]) -> tuple[list[Example], int, int]:
    """Each prompt once; the number of repeated rows, and that of prompts with several answers, which are left out."""
    answers: dict[tuple[PromptMessage, ...], set[str]] = {}
    for each in rows:
        answers.setdefault(each.prompt, set()).add(each.answer)
    clear = [Example(prompt, next(iter(said))) for prompt, said in answers.items() if len(said) == 1]
    contradictions = len(answers) - len(clear)
    return clear, len(rows) - len(answers), contradictions


def _hash(example: Example) -> bytes:
    return hashlib.sha256(msgspec.json.encode(example.prompt)).digest()
