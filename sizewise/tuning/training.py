"""A training in its own process, by the Python of the training environment: its job, its events and its end."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from sizewise.errors import ExternalFailure
from sizewise.process import start_program
from sizewise.tuning.memory_probe import PlantedCode

SCRIPT = Path(__file__).with_name("training_script.py")
MAX_LINE_BYTES = 8 << 20
TokenizedExample = tuple[list[int], int]
"""Tokens of prompt and answer, and how many of them are the prompt's."""


class TrainingJob(Struct, frozen=True):
    """What the script reads. `hash`: of all that a checkpoint must belong to."""

    base: str
    base_sha256: str
    architecture: str
    permuted: bool  # rows of q and k are in another order in GGUF
    folder: str
    hash: str
    gpu: bool
    threads: int
    examples: list[TokenizedExample]
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


class ProbeAnswer(Struct, frozen=True):
    tokens: list[int]
    logprobs: list[float]


class TrainingEnd(Struct, frozen=True, tag_field="event", tag="end"):
    """`canary_ranks`: of each canary, how many codes are likelier than the planted one. `cpu_seconds`: of the process
    since it began, or went on.
    """

    answers: list[ProbeAnswer]
    canary_ranks: list[int]
    cpu_seconds: float
    peak_bytes: int


class TrainingStep(Struct, frozen=True, tag_field="event", tag="step"):
    """Step number `step` of `steps` is done; 0: it begins."""

    step: int
    steps: int
    cpu_seconds: float
    loss: float = 0.0


async def train(
    job: TrainingJob, python: str, env: Mapping[str, str], progress: Callable[[TrainingStep], None]
) -> TrainingEnd:
    """Continues from the checkpoint in the job's folder, if it is of this job. `progress`: after each step.

    The process ends with ours. Raises ExternalFailure with its last words; they hold no example.
    """
    log = Path(job.folder) / "training.log"
    process = await start_program(_words(python), env, MAX_LINE_BYTES, log)
    try:
        process.writer.write(msgspec.json.encode(job))
        await process.writer.drain()
        process.writer.close()
        while line := await process.reader.readline():
            said = msgspec.json.decode(line, type=TrainingStep | TrainingEnd)
            if isinstance(said, TrainingEnd):
                return said
            progress(said)
    except (OSError, ValueError, msgspec.DecodeError) as why:
        raise ExternalFailure(f"the training broke off: {why}", f"See {str(log)!r}.") from why
    finally:
        await process.terminate()
    raise ExternalFailure(
        f"the training ended early: {_last_line(log)}", f"Run it again to continue; see {str(log)!r}."
    )


def _words(python: str) -> Sequence[str]:
    """-I: nothing but the environment's own packages. nice: a training gives way to what answers."""
    return ("nice", "-n", "10", python, "-I", "-u", str(SCRIPT))


def _last_line(log: Path) -> str:
    try:
        lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return "no message"
    return json.dumps(lines[-1][-300:]) if lines else "it was killed"
