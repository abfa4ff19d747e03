"""Settings of jobs: how much of the machine work in the background may take."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting


@dataclass(frozen=True, slots=True)
class JobsSettings:
    """CPU work of jobs, such as certifying a target, reading documents or training, in processes of their own, here or
    on the nodes of a Ray cluster. Changes need a restart.
    """

    workers: int = setting(
        0,
        "Processes at once; 0: one per physical core, at most 4; on a Ray cluster as many as it has CPUs.",
        minimum=0,
        maximum=256,
    )
    ray: str = setting("", "Address of a Ray cluster, such as `auto`, `10.0.0.5:6379` or `ray://...`; empty: none.")
    max_memory_bytes: int = setting(
        1_500_000_000,
        "Memory limit of one process in bytes, but of a training; a batch that needs more fails, the others go on.",
        minimum=256_000_000,
        maximum=1_000_000_000_000,
    )
