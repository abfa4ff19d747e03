"""Settings of batches (`/v1/batches`): limits and retention."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting


@dataclass(frozen=True, slots=True)
class BatchesSettings:
    """Batches of the API (`/v1/batches`): requests of a file, answered in the background. Changes need a restart."""

    max_requests: int = setting(1_000_000, "Maximum requests of a batch.", minimum=1, maximum=10_000_000)
    max_unfinished: int = setting(
        50, "Maximum unfinished batches of an organization; more are refused.", minimum=1, maximum=100_000
    )
    max_running: int = setting(2, "Maximum batches at the same time per server; others wait.", minimum=1, maximum=1_000)
    concurrency: int = setting(8, "Requests of a batch that are answered at the same time.", minimum=1, maximum=256)
    retention_days: int = setting(90, "Days until an ended batch is deleted.", minimum=1, maximum=36_500)
