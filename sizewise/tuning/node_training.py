"""What a node of a Ray cluster does of a training: says whether it can, and does a batch of its steps; keeps nothing.

It needs what a machine needs that trains at home: the training environment and the base, in the node's own cache.
Nothing is downloaded for it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from msgspec import Struct

from sizewise.catalog.loader import bundled_models, is_downloaded, local_cards, weights_path
from sizewise.catalog.weights import sha256_of
from sizewise.errors import ExternalFailure
from sizewise.offload.frames import Bytes
from sizewise.offload.job import Work
from sizewise.process import physical_cores
from sizewise.settings.load import Settings, load_settings
from sizewise.tuning.environment import SETUP_HINT, find_environment
from sizewise.tuning.training import (
    ADAPTER,
    CHECKPOINT,
    BatchEnd,
    TrainingHost,
    TrainingJob,
    TrainingNeeds,
    TrainingStep,
    run_script,
)
from sizewise.tuning.training_host import MEMORY_HINT, matrix_pace, missing_memory, training_variables

CONTINUE_HINT = "Run it again to continue."


class NodeReport(Struct, frozen=True):
    """`refusal`: what it lacks; empty: it can train. `hint`: the next step there. `flops`: its pace."""

    refusal: str
    hint: str
    gpu: bool
    flops: float


class NodeOrder(Struct, frozen=True):
    """A batch. `pause_ratio`: as TrainingHost's."""

    job: TrainingJob
    pause_ratio: float


def make_report(setup: bytes) -> Work:
    """`setup`: TrainingNeeds. Its function takes nothing, and returns a NodeReport."""
    needs = msgspec.json.decode(setup, type=TrainingNeeds)

    def report() -> list[Bytes]:
        return [msgspec.json.encode(asyncio.run(_report(needs)))]

    return report


def make_batch(setup: bytes) -> Work:
    """`setup`: NodeOrder. Its function takes a checkpoint, or nothing at the begin. It returns how the batch ended, the
    next checkpoint, and the adapter or nothing.
    """
    order = msgspec.json.decode(setup, type=NodeOrder)

    def train_batch(checkpoint: bytes) -> list[Bytes]:
        with TemporaryDirectory(prefix="sizewise-training-") as name:
            folder = Path(name)
            if checkpoint:
                (folder / CHECKPOINT).write_bytes(checkpoint)
            ended = asyncio.run(_train(order, folder))
            adapter = folder / ADAPTER
            saved = (folder / CHECKPOINT).read_bytes()
            return [msgspec.json.encode(ended), saved, adapter.read_bytes() if adapter.exists() else b""]

    return train_batch


async def _report(needs: TrainingNeeds) -> NodeReport:
    settings = load_settings()
    environment = find_environment(settings.cache_dir)
    flops = await matrix_pace(sys.executable if environment is None else environment.python)
    refusal, hint = "", ""
    if environment is None:
        refusal, hint = "has no training environment", SETUP_HINT
    elif _base_file(settings, needs) is None:
        refusal, hint = f"does not have {needs.model}", _base_hint(needs)
    elif missing := missing_memory(needs.bytes):
        refusal, hint = f"has too little memory: the training {missing}", MEMORY_HINT
    return NodeReport(refusal, hint, environment is not None and environment.gpu, flops)


async def _train(order: NodeOrder, folder: Path) -> BatchEnd:
    settings, job = load_settings(), order.job
    environment = find_environment(settings.cache_dir)
    base = _base_file(settings, TrainingNeeds(job.model, job.base_sha256))
    if environment is None or base is None:
        raise ExternalFailure("the training environment or the base is gone", CONTINUE_HINT)
    host = TrainingHost(
        python=environment.python,
        base=str(base),
        gpu=environment.gpu,
        threads=settings.local.threads or physical_cores(),
        variables=training_variables(),
        pause_ratio=order.pause_ratio,
    )
    try:
        return await run_script(job, host, folder, _ignore)
    except ExternalFailure as error:
        raise ExternalFailure(error.message, CONTINUE_HINT) from error  # its log is gone with the folder


def _ignore(event: TrainingStep) -> None:
    """A node says nothing before its batch ends."""


def _base_file(settings: Settings, needs: TrainingNeeds) -> Path | None:
    """The very file, whatever its name is here."""
    for card in local_cards(settings):
        assert card.weights is not None  # a local model has them
        path = weights_path(card.weights, settings.cache_dir)
        if card.weights.adapter or not path.is_file():
            continue
        if card.weights.sha256 == needs.base_sha256 and is_downloaded(card.weights, settings.cache_dir):
            return path
        if not card.weights.sha256 and sha256_of(path) == needs.base_sha256:
            return path
    return None


def _base_hint(needs: TrainingNeeds) -> str:
    name = needs.model.removeprefix("local/")
    if name in bundled_models():
        return f"Run: sizewise models pull {name}"
    return "Copy its file there, and run: sizewise models add FILE"
