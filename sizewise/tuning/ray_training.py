"""Trainings on a Ray cluster: batches on the node that can train and is the fastest, on another one if it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from sizewise.atomic_file import write_file_atomically
from sizewise.errors import Busy, ExternalFailure, SizewiseError
from sizewise.offload.ray_pool import RayPool
from sizewise.offload.ray_task import RayNode
from sizewise.tuning.node_training import NodeOrder, NodeReport, make_batch, make_report
from sizewise.tuning.training import (
    ADAPTER,
    CHECKPOINT,
    BatchEnd,
    OnStep,
    Pace,
    Say,
    TrainingEnd,
    TrainingJob,
    TrainingNeeds,
    TrainingPause,
    TrainingStep,
)

PAUSE_RATIO = 10.0
"""Of what a batch trains to what it takes to load: a tenth is the price of going on elsewhere."""
REPORT_S = 60.0
"""A node that does not say so soon whether it can train has other jobs before."""
NODES_LOST = 3
"""Nodes that a batch may lose."""


class RayTraining:
    """A TrainingPlace (training.py). `pool`: its rules hold for each batch."""

    def __init__(self, pool: RayPool, *, pause_ratio: float = PAUSE_RATIO) -> None:
        self._pool = pool
        self._pause_ratio = pause_ratio
        self._needs: TrainingNeeds | None = None
        self._node: RayNode | None = None
        self._told = ""  # the node that was named last
        self._last: TrainingStep | None = None

    async def pace(self, needs: TrainingNeeds) -> Pace:
        """Of the node that would train; if none can yet, of the fastest."""
        reports = await self._reports(needs)
        known = [(node, each) for node, each in reports if each.flops]
        if not known:
            raise _none_can(reports)
        node, report = max(known, key=lambda pair: (not pair[1].refusal, pair[1].gpu, pair[1].flops))
        return Pace(report.flops, node.host)

    async def prepare(self, needs: TrainingNeeds, say: Say) -> None:
        say("asking the nodes of the Ray cluster")
        self._needs = needs
        self._node = await self._choose(needs)

    async def run(self, job: TrainingJob, folder: Path, progress: OnStep, say: Say) -> BatchEnd:
        needs = self._needs or TrainingNeeds(job.model, job.base_sha256)
        setup = msgspec.json.encode(NodeOrder(job, self._pause_ratio))
        checkpoint = folder / CHECKPOINT
        before = await asyncio.to_thread(checkpoint.read_bytes) if checkpoint.is_file() else b""
        for left in reversed(range(NODES_LOST + 1)):
            node = self._node = self._node or await self._choose(needs)
            if node.id != self._told:
                self._told = node.id
                say(f"training on {node.host}")
                if self._last is not None:
                    progress(self._last)
            try:
                said, after, adapter = await self._pool.run(make_batch, setup, [before], node=node)
            except Busy as lost:
                self._node = None
                if not left:
                    raise
                say(f"a batch is lost on {node.host}: {lost.message}")
                continue
            except ExternalFailure as error:
                raise ExternalFailure(f"on {node.host}: {error.message}", error.hint) from error
            break
        ended: BatchEnd = msgspec.json.decode(said, type=TrainingPause | TrainingEnd)
        for file, data in ((ADAPTER, adapter), (CHECKPOINT, after)):
            if data:
                await asyncio.to_thread(write_file_atomically, folder / file, data, 0o600)
        step, loss = (ended.step, ended.loss) if isinstance(ended, TrainingPause) else (ended.steps, 0.0)
        self._last = TrainingStep(step, ended.steps, 0.0, loss)
        progress(replace(self._last, cpu_seconds=ended.cpu_seconds))
        return ended

    async def _choose(self, needs: TrainingNeeds) -> RayNode:
        reports = await self._reports(needs)
        able = [(each.gpu, each.flops, node) for node, each in reports if not each.refusal]
        if not able:
            raise _none_can(reports)
        return max(able, key=lambda row: row[:2])[2]

    async def _reports(self, needs: TrainingNeeds) -> Sequence[tuple[RayNode, NodeReport]]:
        """Raises Busy if the cluster is away."""
        nodes = await self._pool.nodes()
        return list(zip(nodes, await asyncio.gather(*(self._report(each, needs) for each in nodes)), strict=True))

    async def _report(self, node: RayNode, needs: TrainingNeeds) -> NodeReport:
        try:
            async with asyncio.timeout(REPORT_S):
                (said,) = await self._pool.run(make_report, msgspec.json.encode(needs), [], node=node)
        except TimeoutError:
            return NodeReport("has other jobs before", "Wait, or see `ray status`.", gpu=False, flops=0.0)
        except SizewiseError as error:
            return NodeReport(f"says: {error.message}", error.hint, gpu=False, flops=0.0)
        return msgspec.json.decode(said, type=NodeReport)


def _none_can(reports: Sequence[tuple[RayNode, NodeReport]]) -> ExternalFailure:
    """With the next step on one of them."""
    why = "; ".join(f"{node.host} {each.refusal}" for node, each in reports) or "it has no nodes"
    hints = [f"On {node.host}: {each.hint[0].lower()}{each.hint[1:]}" for node, each in reports if each.hint]
    return ExternalFailure(f"no node of the Ray cluster can train: {why}", [*hints, "See `ray status`."][0])
