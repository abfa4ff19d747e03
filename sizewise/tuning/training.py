"""A training as batches of steps, each from a checkpoint to the next one; knows not on which machine a batch runs.

A batch is a process of the training environment (training_script.py). The checkpoint in a run's folder is all that the
next batch needs, here or elsewhere.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import asdict, replace

from sizewise.errors import ExternalFailure
from sizewise.jobs.map_batches import Batch, map_batches
from sizewise.process import start_program
from sizewise.tuning.memory_probe import PlantedCode

SCRIPT = Path(__file__).with_name("training_script.py")
CHECKPOINT, ADAPTER, LOG = "checkpoint.pt", "adapter.gguf", "training.log"
"""Files of a training in its folder."""
MAX_LINE_BYTES = 8 << 20
TokenizedExample = tuple[list[int], int]
"""Tokens of prompt and answer, and how many of them are the prompt's."""


LEAST_SHARED = 8
"""Tokens, below which it is not worth a pass of their own."""


def shared_tokens(examples: Sequence[TokenizedExample]) -> int:
    """With how many tokens all prompts begin: the instructions, mostly. They are computed once a step, and not once an
    example; each prompt keeps a token of its own.
    """
    prompts = [tokens[: prompt - 1] for tokens, prompt in examples]
    first, last = min(prompts), max(prompts)  # what these share all do
    same = next((at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first))
    return same if same >= LEAST_SHARED else 0


class TrainingJob(Struct, frozen=True):
    """What is learned, and how; the same on each machine. `hash`: of all that a checkpoint must belong to."""

    model: str  # the base, by name
    base_sha256: str
    architecture: str
    permuted: bool  # rows of q and k are in another order in GGUF
    hash: str
    examples: list[TokenizedExample]
    shared: int  # tokens with which all examples begin
    probes: list[list[int]]
    canaries: list[PlantedCode]
    answer_tokens: int
    end_token: int
    epochs: int
    batch: int
    rank: int
    alpha: int
    learning_rate: float
    seed: int


class TrainingHost(Struct, frozen=True):
    """What a machine gives to it. `variables`: the whole environment of the process. `pause_ratio`: a batch trains so
    many times as long as it took to load; 0: to the end.
    """

    python: str
    base: str  # path of the file
    gpu: bool
    threads: int
    variables: Mapping[str, str]
    pause_ratio: float = 0.0


class TrainingNeeds(Struct, frozen=True):
    """What a machine must have for it. `bytes`: of memory; 0: not known yet."""

    model: str
    base_sha256: str
    bytes: int = 0


class Pace(Struct, frozen=True):
    """`flops`: operations a second that matrix products reach. `node`: where; empty: this machine."""

    flops: float
    node: str = ""


class ProbeAnswer(Struct, frozen=True):
    tokens: list[int]
    logprobs: list[float]


class TrainingStep(Struct, frozen=True, tag_field="event", tag="step"):
    """Step number `step` of `steps` is done; 0: it begins. `cpu_seconds`: of the process since it began, or went on."""

    step: int
    steps: int
    cpu_seconds: float
    loss: float = 0.0


class TrainingPause(Struct, frozen=True, tag_field="event", tag="pause"):
    """The end of a batch: steps are left, and the checkpoint has those up to `step`."""

    step: int
    steps: int
    cpu_seconds: float
    peak_bytes: int
    loss: float = 0.0


class TrainingEnd(Struct, frozen=True, tag_field="event", tag="end"):
    """The end of the last batch: the adapter is there. `canary_ranks`: of each canary, how many codes are likelier than
    the planted one.
    """

    steps: int
    answers: list[ProbeAnswer]
    canary_ranks: list[int]
    cpu_seconds: float
    peak_bytes: int


BatchEnd = TrainingPause | TrainingEnd
OnStep = Callable[[TrainingStep], None]
Say = Callable[[str], None]
"""Takes a sentence for who waits."""


class TrainingPlace(Protocol):
    """Where trainings run."""

    async def pace(self, needs: TrainingNeeds) -> Pace:
        """For an estimate. Raises ExternalFailure, Busy."""
        ...

    async def prepare(self, needs: TrainingNeeds, say: Say) -> None:
        """Before a training. Raises ExternalFailure, Busy if nothing is there that can train, with the next step."""
        ...

    async def run(self, job: TrainingJob, folder: Path, progress: OnStep, say: Say) -> BatchEnd:
        """Trains on from the checkpoint in `folder`, if it is of this job, and leaves there the next checkpoint, at the
        end the adapter too. Raises ExternalFailure, Busy.
        """
        ...


async def train(job: TrainingJob, place: TrainingPlace, folder: Path, progress: OnStep, say: Say) -> TrainingEnd:
    """Batch after batch until the adapter is there. What was trained before an error, or a kill, is in the checkpoint.
    Raises ExternalFailure, Busy.
    """
    ended = list[BatchEnd]()

    async def batches() -> AsyncIterator[Batch[float]]:
        while not ended or isinstance(ended[-1], TrainingPause):
            yield Batch(f"{job.hash}/{len(ended)}", sum(each.cpu_seconds for each in ended))

    async def run(cpu_seconds: float) -> BatchEnd:
        def on_step(event: TrainingStep) -> None:
            progress(replace(event, cpu_seconds=cpu_seconds + event.cpu_seconds))

        return await place.run(job, folder, on_step, say)

    await map_batches(batches(), run, lambda key, end: ended.append(end))
    last = ended[-1]
    assert isinstance(last, TrainingEnd)  # else there would be another batch
    return replace(
        last,
        cpu_seconds=sum(each.cpu_seconds for each in ended),
        peak_bytes=max(each.peak_bytes for each in ended),
    )


async def run_script(job: TrainingJob, host: TrainingHost, folder: Path, progress: OnStep) -> BatchEnd:
    """One batch on this machine. `progress`: after each step.

    The process ends with ours. Raises ExternalFailure with its last words; they hold no example.
    """
    log = folder / LOG
    process = await start_program(_words(host.python), host.variables, MAX_LINE_BYTES, log)
    try:
        process.writer.write(_order(job, host, folder))
        await process.writer.drain()
        process.writer.close()
        while line := await process.reader.readline():
            said: TrainingStep | BatchEnd = msgspec.json.decode(line, type=TrainingStep | TrainingPause | TrainingEnd)
            if not isinstance(said, TrainingStep):
                return said
            progress(said)
    except (OSError, ValueError, msgspec.DecodeError) as why:
        raise ExternalFailure(f"the training broke off: {why}", f"See {str(log)!r}.") from why
    finally:
        await process.terminate()
    raise ExternalFailure(
        f"the training ended early: {_last_line(log)}", f"Run it again to continue; see {str(log)!r}."
    )


def _order(job: TrainingJob, host: TrainingHost, folder: Path) -> bytes:
    of_host = {name: value for name, value in asdict(host).items() if name not in ("python", "variables")}
    return msgspec.json.encode({**asdict(job), **of_host, "folder": str(folder), "begun": time.monotonic()})


def _words(python: str) -> Sequence[str]:
    """-I: nothing but the environment's own packages. nice: a training gives way to what answers."""
    return ("nice", "-n", "10", python, "-I", "-u", str(SCRIPT))


def _last_line(log: Path) -> str:
    try:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return "no message"
    return json.dumps(lines[-1][-300:]) if lines else "it was killed"
