"""Settings of storage: database, record retention, idempotency, response cache and encryption keys."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import kms_reference, reference


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """The database: records, keys, limits and all other durable state."""

    url: str = setting(
        "",
        "Postgres URL by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`, for several servers: "
        "`postgresql+psycopg://user@host/name`. Empty: an SQLite file in the home. Changes need a restart.",
        validator=reference,
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class RecordsSettings:
    """The record of each request: retention and contents."""

    retention_days: int = setting(30, "Days until a record is deleted.", minimum=1, maximum=36_500)
    max_rows: int = setting(5_000_000, "Maximum number of records; the oldest are deleted first.", minimum=1_000)
    max_bytes: int = setting(
        4_000_000_000,
        "About the maximum bytes of records, spans and contents together; the oldest contents are deleted first, then "
        "spans, then records; 0: no limit. Sums of usage stay. Changes need a restart.",
        minimum=0,
    )
    hourly_usage_days: int = setting(
        90, "Days until the hourly sums of usage are added to daily ones.", minimum=2, maximum=36_500
    )
    daily_usage_days: int = setting(1_095, "Days until the daily sums of usage are deleted.", minimum=1, maximum=36_500)
    end_user_usage_days: int = setting(
        90, "Days until the sums of usage by end user are deleted.", minimum=1, maximum=36_500
    )
    scores_retention_days: int = setting(90, "Days until a score is deleted.", minimum=1, maximum=36_500)
    scores_max_rows: int = setting(1_000_000, "Maximum number of scores; the oldest are deleted first.", minimum=1_000)
    flush_ms: int = setting(50, "Maximum milliseconds that a record is buffered in memory.", minimum=1, maximum=10_000)
    contents: bool = setting(
        False,
        "Also store prompts and replies, encrypted per organization. Off by default.",
    )
    contents_retention_days: int = setting(7, "Days until the contents are deleted.", minimum=1, maximum=36_500)
    contents_max_rows: int = setting(
        100_000,
        "Maximum number of requests with stored contents; the oldest are deleted first.",
        minimum=1,
    )
    contents_max_bytes: int = setting(
        2_000_000_000,
        "Maximum bytes of contents; the oldest are deleted first.",
        minimum=1_000_000,
    )
    contents_row_bytes: int = setting(
        262_144,
        "Maximum bytes stored of one prompt and of one reply; the rest is cut.",
        minimum=1_024,
        maximum=67_108_864,
    )


@dataclass(frozen=True, slots=True)
class StoredResponsesSettings:
    """Stored responses (`store: true`), encrypted."""

    retention_days: int = setting(30, "Days until a response is deleted.", minimum=1, maximum=36_500)
    max_rows: int = setting(100_000, "Maximum number of responses; the oldest are deleted first.", minimum=1)
    max_bytes: int = setting(
        2_000_000_000, "Maximum bytes of responses; the oldest are deleted first.", minimum=1_000_000
    )
    max_background: int = setting(
        100,
        "Maximum unfinished responses with `background: true` per organization; more are refused. Changes need a "
        "restart.",
        minimum=0,
        maximum=100_000,
    )
    max_background_running: int = setting(
        16,
        "Maximum background responses that run at the same time per server; others wait. Changes need a restart.",
        minimum=1,
        maximum=10_000,
    )


@dataclass(frozen=True, slots=True)
class FilesSettings:
    """Uploaded files (`/v1/files`), encrypted. Changes need a restart."""

    max_file_bytes: int = setting(536_870_912, "Maximum bytes of one file.", minimum=1_024, maximum=1_099_511_627_776)
    max_bytes: int = setting(
        10_000_000_000, "Maximum bytes of all files of an organization; beyond: 413.", minimum=1_024
    )
    max_files: int = setting(100_000, "Maximum number of files of an organization; beyond: 413.", minimum=1)
    retention_days: int = setting(
        0,
        "Days until a file is deleted that was uploaded without `expires_after`; 0: never.",
        minimum=0,
        maximum=36_500,
    )


@dataclass(frozen=True, slots=True)
class FlowsSettings:
    """Flow runs: limits, and retention of ended runs, stored encrypted. A run includes the flows that it calls. Changes
    need a restart.
    """

    max_concurrent_runs: int = setting(
        1_000,
        "Maximum concurrent runs per server; more are refused. Runs waiting for a person do not count, but each "
        "organization can have at most this many of them.",
        minimum=1,
        maximum=100_000,
    )
    max_concurrent_runs_per_organization: int | None = setting(
        None,
        "Maximum concurrent runs per organization; unset: half if there are several organizations, else all.",
        minimum=1,
        maximum=100_000,
    )
    max_steps_per_run: int = setting(
        100_000,
        "Maximum steps of a run: nodes, each round of an `each` or `loop` again, and steps of agents.",
        minimum=1,
        maximum=10_000_000,
    )
    max_bytes_per_run: int = setting(
        128_000_000,
        "Maximum bytes that the steps of a run return together; all are kept until it ends.",
        minimum=1_000,
    )
    max_seconds_per_run: float = setting(
        21_600.0,
        "Maximum seconds that a run works, over all its attempts; waiting for a person or in a `wait` node does not "
        "count.",
        minimum=0.1,
        maximum=31_536_000,
    )
    max_active_steps_per_organization: int = setting(
        300_000,
        "Maximum steps of all active runs of an organization on this server.",
        minimum=1,
        maximum=100_000_000,
    )
    max_active_bytes_per_organization: int = setting(
        512_000_000,
        "Maximum bytes that the steps of all active runs of an organization on this server return together.",
        minimum=1_000,
    )
    allow_self_approval: bool = setting(
        False,
        "Let who started a run decide its waiting steps too, if they have the permission `approve`.",
    )
    retention_days: int = setting(
        30,
        "Days until an ended run is deleted, with its inputs and outputs.",
        minimum=1,
    )
    max_rows: int = setting(100_000, "Maximum number of ended runs; the oldest are deleted first.", minimum=1)
    max_bytes: int = setting(
        2_000_000_000, "Maximum bytes of ended runs; the oldest are deleted first.", minimum=1_000_000
    )


@dataclass(frozen=True, slots=True)
class IdempotencySettings:
    """Responses stored per idempotency key, encrypted."""

    retention_hours: int = setting(24, "Hours until a key expires.", minimum=1, maximum=8_760)
    max_rows: int = setting(100_000, "Maximum number of keys; the oldest are deleted first.", minimum=1)
    max_bytes: int = setting(
        2_000_000_000, "Maximum bytes of responses; the oldest are deleted first.", minimum=1_000_000
    )


@dataclass(frozen=True, slots=True)
class ResponseCacheSettings:
    """Response cache: returns the stored response to an identical request, from memory, and where servers share a
    Postgres also what another one answered. Unrelated to the cache of model weights.
    """

    ttl_s: float = setting(
        0.0, "Seconds that a response is reused; 0 turns the cache off.", minimum=0, maximum=31_536_000
    )
    max_entries: int = setting(
        10_000, "Maximum number of responses; the least recently used are evicted first.", minimum=1
    )
    max_bytes: int = setting(64_000_000, "Maximum bytes of memory.", minimum=10_000)
    shared_max_bytes: int = setting(
        1_000_000_000,
        "About the maximum bytes of responses in the Postgres of `[database]`, encrypted, for its other servers; 0: "
        "none are there. Changes need a restart.",
        minimum=0,
    )


@dataclass(frozen=True, slots=True)
class EncryptionSettings:
    """The key encryption key. It wraps the data keys that encrypt stored prompts and replies."""

    key: str = setting(
        "",
        "Key by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`: 32 bytes in base64, newest first if there are "
        "several. Empty: `vault.key` in the home, created when first needed.",
        validator=reference,
        secret=True,
    )
    kms: str = setting(
        "",
        "External key management service, as `command:/path/of/program arguments`. `key` then only decrypts what it "
        "encrypted before.",
        validator=kms_reference,
        secret=True,
    )
