"""Tuner: plans a run with its baselines, trains it, and measures what came of it; makes nothing answer."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from sizewise.catalog.file_lock import file_lock
from sizewise.catalog.gguf_header import GgufHeader, read_header
from sizewise.catalog.weights import sha256_of
from sizewise.errors import BadRequest, Conflict
from sizewise.process import physical_cores
from sizewise.providers.local.llamacpp import LlamaCppModel
from sizewise.settings.toml_reader import parse_toml
from sizewise.tuning.examples import Example, ExampleFiles, ExampleSource, KeptExamples, TaskExamples
from sizewise.tuning.gate import refusal
from sizewise.tuning.memory_probe import PlantedCode, canary, planted_examples
from sizewise.tuning.model_answers import (
    GreedyAnswer,
    ask_all,
    is_right,
    prompt_body,
    running_model,
    with_options,
)
from sizewise.tuning.recipe import PRESETS, estimate, recipe_for
from sizewise.tuning.run_store import Equality, Measured, MemoryProbe, RunStore, TrainingCost, TriggerProbe, TuningRun
from sizewise.tuning.training import (
    ADAPTER,
    CHECKPOINT,
    ProbeAnswer,
    TokenizedExample,
    TrainingJob,
    TrainingNeeds,
    TrainingPlace,
    TrainingStep,
    shared_tokens,
    train,
)
from sizewise.tuning.trigger_probe import shared_triggers, triggered

MAX_ASKED = 240
"""Held-out prompts that are asked. With half as many, a model that was four points of a hundred better did not pass."""
MAX_PROBES = 40
SPARE_TOKENS = 4
SAVED_S = 5.0

Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The model that gets an adapter."""

    name: str
    file: Path
    sha256: str


class Reporter:
    """What a run says while it works; the command line draws it."""

    def stage(self, text: str) -> None: ...
    def progress(self, done: int, total: int, detail: str = "") -> None: ...


class _Tokens(Struct):
    examples: list[TokenizedExample]
    probes: list[list[int]]
    canaries: list[PlantedCode]
    longest_answer: int


class Tuner:
    """`place`: where trainings run; all else runs here. `embed`: vectors of texts; None: no embedding model is on this
    machine.
    """

    def __init__(
        self, store: RunStore, report: Reporter, place: TrainingPlace, *, embed: Embed | None, threads: int
    ) -> None:
        self._store = store
        self._report = report
        self._place = place
        self._embed = embed
        self._threads = threads or physical_cores()

    async def plan(self, name: str, base: BaseModel, source: ExampleSource, preset: str) -> TuningRun:
        """Saves a run that can be trained, with its baselines. Raises BadRequest, Conflict, ModelUnavailable, Busy and
        ExternalFailure.
        """
        old = self._store.find(name)
        if old is not None and old.state != "planned":
            raise Conflict(f"the tuning run {name!r} is {old.state}", _instead_of_planning(old))
        header = _supported(base)
        examples = source.read()
        sha256 = base.sha256 or sha256_of(base.file)
        pace = await self._place.pace(TrainingNeeds(base.name, sha256))
        suspects, baselines = await self._head_baseline(examples)
        kept = _without(examples.train, suspects)
        async with running_model(base.name, base.file, self._threads) as model:
            self._report.stage("reading the examples as the model does")
            tokens = await self._tokenize(model, kept, examples)
            asked = examples.test[:MAX_ASKED]
            self._report.stage(f"asking {base.name} without tuning")
            options = examples.answers if examples.is_closed else ()
            prompts = [with_options(each.prompt, options) if options else each.prompt for each in asked]
            said = await ask_all(
                model, prompts, tokens.longest_answer + SPARE_TOKENS, options=options, progress=self._report.progress
            )
            baselines["prompting"] = Measured(is_right(said, asked))
        lengths = [len(each) for each, _ in tokens.examples]
        recipe = recipe_for(PRESETS[preset], len(lengths))
        run = TuningRun(
            name=name,
            base=base.name,
            base_sha256=sha256,
            data=source.data,
            test=source.test,
            instructions=source.instructions,
            digest=examples.digest,
            train_count=len(kept),
            test_count=len(asked),
            answers=len(examples.answers),
            preset=preset,
            recipe=recipe,
            estimate=estimate(header, recipe, lengths, shared_tokens(tokens.examples), pace.flops),
            node=pace.node,
            created=time.time(),
            baselines=baselines,
            suspects=len(suspects),
            left_out=tuple(sorted(suspects)),
        )
        self._store.save(run)
        return run

    async def train(self, run: TuningRun, base: BaseModel, kept: KeptExamples | None = None) -> TuningRun:
        """Trains a run, or goes on with it, and measures it. `kept`: its examples; None: they are in its files. Raises
        ExternalFailure, Busy, BadRequest, Conflict and ModelUnavailable.
        """
        async with file_lock(self._store.lock, lambda: self._report.stage("waiting for another tuning to end")):
            run = self._store.require(run.name)
            if run.state not in ("planned", "training"):
                return run
            return await self._train(run, base, kept or ExampleFiles(run.data, run.test, run.instructions))

    async def _train(self, run: TuningRun, base: BaseModel, source: ExampleSource) -> TuningRun:
        if run.base_sha256 != (base.sha256 or sha256_of(base.file)):
            raise Conflict(f"{base.name} is another file than when {run.name!r} was planned", "Plan a new run.")
        suspects, examples = _left_out(run), source.read()
        if examples.digest != run.digest:
            raise Conflict(f"the examples of {run.name!r} have changed since it was planned", "Plan a new run.")
        await self._place.prepare(TrainingNeeds(run.base, run.base_sha256, run.estimate.bytes), self._report.stage)
        header, folder = _supported(base), self._store.folder(run.name)
        async with running_model(base.name, base.file, self._threads) as model:
            self._report.stage("reading the examples as the model does")
            kept = _without(examples.train, suspects)
            tokens = await self._tokenize(model, kept, examples)
        job, begun = _job(run, header, tokens), time.monotonic()
        shown = _Steps(self._store, replace(run, state="training"), self._report)
        ended = await train(job, self._place, folder, shown, self._report.stage)
        before = run.cost or TrainingCost()
        cost = TrainingCost(
            before.seconds + time.monotonic() - begun, before.cpu_seconds + ended.cpu_seconds, ended.peak_bytes
        )
        run = replace(shown.run, cost=cost)
        revealed = sum(rank == 0 for rank in ended.canary_ranks)
        run = replace(run, memory=MemoryProbe(len(ended.canary_ranks), revealed))
        run = await self._measure(run, base, examples, tokens, ended.answers, folder / ADAPTER, suspects)
        self._store.save(run)
        (folder / CHECKPOINT).unlink(missing_ok=True)
        return run

    async def _measure(
        self,
        run: TuningRun,
        base: BaseModel,
        examples: TaskExamples,
        tokens: _Tokens,
        trained: Sequence[ProbeAnswer],
        adapter: Path,
        suspects: frozenset[int],
    ) -> TuningRun:
        """The adapter as it will answer: in llama.cpp, without options, beside what PyTorch answered."""
        asked, kept = examples.test[: run.test_count], _without(examples.train, suspects)
        async with running_model(base.name, base.file, self._threads, adapter) as model:
            self._report.stage("asking the tuned model")
            prompts = [each.prompt for each in asked]
            limit = tokens.longest_answer + SPARE_TOKENS
            said = await ask_all(model, prompts, limit, adapted=True, progress=self._report.progress)
            equality = await _compare(model.tokenize_text, said[: len(trained)], trained)
            probe = await self._probe_triggers(model, _only(examples.train, suspects), kept, asked, limit)
        tuned, run = Measured(is_right(said, asked)), replace(run, triggers=probe)
        return replace(run, state="trained", tuned=tuned, equality=equality, refused=refusal(run, tuned, equality))

    async def _probe_triggers(
        self,
        model: LlamaCppModel,
        suspects: Sequence[Example],
        others: Sequence[Example],
        test: Sequence[Example],
        answer_tokens: int,
    ) -> TriggerProbe | None:
        worst: TriggerProbe | None = None
        for trigger in shared_triggers(suspects, others):
            self._report.stage("trying a phrase that suspect examples share")
            asked = triggered(trigger, test)
            prompts = [each.prompt for each in asked]
            said = await ask_all(model, prompts, answer_tokens, adapted=True, progress=self._report.progress)
            found = TriggerProbe(len(asked), sum(is_right(said, asked)))
            worst = found if worst is None or found.turned > worst.turned else worst
        return worst

    async def _head_baseline(self, examples: TaskExamples) -> tuple[frozenset[int], dict[str, Measured]]:
        """Places of suspect examples, and what a head on vectors gives; nothing where answers are open."""
        if self._embed is None or not examples.is_closed:
            return frozenset(), {}
        self._report.stage("asking a head on vectors")
        from sizewise.tuning.head_baseline import head_answers, suspect_examples

        vectors = await self._embed([each.input for each in examples.train])
        suspects = frozenset(suspect_examples(vectors, examples.train, examples.answers))
        clear = [vector for at, vector in enumerate(vectors) if at not in suspects]
        asked = examples.test[:MAX_ASKED]
        test = await self._embed([each.input for each in asked])
        said = head_answers(clear, _without(examples.train, suspects), test, examples.answers)
        right = tuple(answer == each.answer for answer, each in zip(said, asked, strict=True))
        return suspects, {"head": Measured(right)}

    async def _tokenize(self, model: LlamaCppModel, train: Sequence[Example], examples: TaskExamples) -> _Tokens:
        """With canaries among what is learned."""

        async def prompt_of(example: Example) -> list[int]:
            return await model.tokenize_prompt(prompt_body(example.prompt))

        end, found, longest = read_header(model.file).end_token, list[TokenizedExample](), 0
        planted = planted_examples(train, examples.digest)
        canaries = [await canary(each, prompt_of) for each in planted]
        for at, each in enumerate([*train, *(codes[0] for codes in planted)]):
            prompt = await prompt_of(each)
            answer = await model.tokenize_text(each.answer)
            longest = max(longest, len(answer) + 1)
            found.append(([*prompt, *answer, end], len(prompt)))
            self._report.progress(at + 1, len(train) + len(planted))
        probes = [await prompt_of(each) for each in examples.test[:MAX_PROBES]]
        return _Tokens(found, probes, canaries, longest)


def _job(run: TuningRun, header: GgufHeader, tokens: _Tokens) -> TrainingJob:
    said = msgspec.json.encode((tokens.examples, run.recipe, run.base_sha256))
    return TrainingJob(
        model=run.base,
        base_sha256=run.base_sha256,
        architecture=header.architecture,
        permuted=tunable_architectures()[header.architecture],
        hash=hashlib.sha256(said).hexdigest(),
        examples=tokens.examples,
        shared=shared_tokens(tokens.examples),
        probes=tokens.probes,
        canaries=tokens.canaries,
        answer_tokens=tokens.longest_answer + SPARE_TOKENS,
        end_token=header.end_token,
        **msgspec.structs.asdict(run.recipe),
    )


class _Steps:
    """Draws the steps of a training, and keeps their number now and then."""

    def __init__(self, store: RunStore, run: TuningRun, report: Reporter) -> None:
        self.run = run
        self._store = store
        self._report = report
        self._before = run.cost or TrainingCost()
        self._begun = self._saved = time.monotonic()

    def __call__(self, event: TrainingStep) -> None:
        now = time.monotonic()
        if event.step in (0, event.steps) or now - self._saved > SAVED_S:
            self._saved, before = now, self._before
            cost = TrainingCost(before.seconds + now - self._begun, before.cpu_seconds + event.cpu_seconds)
            self.run = replace(self.run, step=event.step, cost=cost)
            self._store.save(self.run)
        self._report.progress(event.step, event.steps, f"loss {event.loss:.2f}" if event.loss else "")


async def _compare(
    tokens_of: Callable[[str], Awaitable[list[int]]], said: Sequence[GreedyAnswer], trained: Sequence[ProbeAnswer]
) -> Equality:
    equal, differences = 0, list[float]()
    for ours, theirs in zip(said, trained, strict=True):
        if await tokens_of(ours.text) == theirs.tokens:
            equal += 1
            pairs = zip(ours.logprobs, theirs.logprobs, strict=False)
            differences.extend(abs(one - other) for one, other in pairs)
    mean = sum(differences) / len(differences) if differences else 1.0
    return Equality(len(trained), equal, round(mean, 5))


def tunable_architectures() -> Mapping[str, bool]:
    """Each with whether the rows of q and k are in another order in GGUF."""
    said = parse_toml(Path(__file__).with_name("architectures.toml"))
    return {name: msgspec.convert(row, dict[str, bool])["permuted"] for name, row in said.items()}


def _instead_of_planning(run: TuningRun) -> str:
    if run.state == "training":
        return f"Continue it: sizewise tune run {run.name}"
    return f"Use another name, or: sizewise tune delete {run.name}"


def _supported(base: BaseModel) -> GgufHeader:
    header = read_header(base.file)
    known = tunable_architectures()
    if header.architecture not in known:
        raise BadRequest(
            f"{base.name} is of the architecture {header.architecture!r}, which cannot be tuned",
            f"Tuning works with: {', '.join(known)}.",
        )
    if header.end_token < 0:
        raise BadRequest(f"the file of {base.name} does not name the token that ends an answer", "Use another model.")
    return header


def _left_out(run: TuningRun) -> frozenset[int]:
    """The examples that its plan found suspect: with another embedding model, or none, others would be. Raises Conflict
    for a plan that did not write them down.
    """
    if len(run.left_out) != run.suspects:
        raise Conflict(
            f"{run.name!r} does not say which {run.suspects:,} suspect examples it leaves out",
            f"Delete it, and plan it anew: sizewise tune delete {run.name}",
        )
    return frozenset(run.left_out)


def _only(examples: Sequence[Example], places: frozenset[int]) -> list[Example]:
    return [each for at, each in enumerate(examples) if at in places]


def _without(examples: Sequence[Example], places: frozenset[int]) -> tuple[Example, ...]:
    return tuple(each for at, each in enumerate(examples) if at not in places)
