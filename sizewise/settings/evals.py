"""Settings of the API's evals (`/v1/evals`): limits and retention."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting


@dataclass(frozen=True, slots=True)
class EvalsSettings:
    """Evals of the API (`/v1/evals`), encrypted. Changes need a restart."""

    max_evals: int = setting(1_000, "Maximum evals of an organization; more are refused.", minimum=1, maximum=1_000_000)
    max_items: int = setting(10_000, "Maximum items of a run.", minimum=1, maximum=1_000_000)
    max_data_bytes: int = setting(
        67_108_864, "Maximum bytes of a data file of a run.", minimum=1_024, maximum=1_073_741_824
    )
    max_unfinished: int = setting(
        50, "Maximum unfinished runs of an organization; more are refused.", minimum=1, maximum=100_000
    )
    max_running: int = setting(4, "Maximum runs at the same time per server; others wait.", minimum=1, maximum=1_000)
    concurrency: int = setting(8, "Items of a run that are answered at the same time.", minimum=1, maximum=256)
    retention_days: int = setting(90, "Days until an ended run is deleted.", minimum=1, maximum=36_500)
    max_bytes: int = setting(
        2_000_000_000, "Maximum bytes of results; the oldest runs are deleted first.", minimum=1_000_000
    )
