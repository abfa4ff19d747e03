"""Settings of storage: database, record retention, idempotency, response cache and encryption keys."""

from __future__ import annotations

from dataclasses import dataclass

from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import kms_reference, reference


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where records, keys, limits and all else that must be kept lies."""

    url: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`: a Postgres for several servers together, as "
        "`postgresql+psycopg://user@host/name`. Empty: a file in the home. Read at the start.",
        validator=reference,
        secret=True,
    )


@dataclass(frozen=True, slots=True)
class RecordsSettings:
    """What is written down of each request, and for how long."""

    retention_days: int = setting(30, "Days until a record is deleted.", minimum=1, maximum=36_500)
    max_rows: int = setting(5_000_000, "Records kept at most; the oldest go first.", minimum=1_000)
    flush_ms: int = setting(50, "Milliseconds that an accepted record may wait in memory.", minimum=1, maximum=10_000)
    contents: bool = setting(
        False,
        "Keep the prompts and replies too, sealed per organization. Off, for what is not kept cannot be lost.",
    )
    contents_retention_days: int = setting(7, "Days until they are deleted.", minimum=1, maximum=36_500)
    contents_max_rows: int = setting(
        100_000,
        "Requests whose contents are kept at most; the oldest go first.",
        minimum=1,
    )
    contents_max_bytes: int = setting(
        2_000_000_000,
        "Bytes that they may take; the oldest go first.",
        minimum=1_000_000,
    )
    contents_row_bytes: int = setting(
        262_144,
        "Bytes kept of one prompt, and of one reply; the rest is cut.",
        minimum=1_024,
        maximum=67_108_864,
    )


@dataclass(frozen=True, slots=True)
class ConversationsSettings:
    """Responses that clients asked to be remembered; kept sealed."""

    retention_days: int = setting(30, "Days until a response is deleted.", minimum=1, maximum=36_500)
    max_rows: int = setting(100_000, "Responses kept at most; the oldest go first.", minimum=1)
    max_bytes: int = setting(2_000_000_000, "Bytes that they may take; the oldest go first.", minimum=1_000_000)


@dataclass(frozen=True, slots=True)
class FlowsSettings:
    """Runs of flows: how many, and what is kept of each, sealed. Read at the start."""

    max_concurrent_runs: int = setting(
        1_000,
        "Runs under way at once in one server; more are refused. Those that wait for a person are not counted, but no "
        "more of one organization may wait.",
        minimum=1,
        maximum=100_000,
    )
    max_concurrent_runs_per_organization: int | None = setting(
        None,
        "Of these, one organization's; unset: half where there are others, else all.",
        minimum=1,
        maximum=100_000,
    )
    retention_days: int = setting(
        30,
        "Days until a run that ended is deleted, with all it was given and gave.",
        minimum=1,
    )
    max_rows: int = setting(100_000, "Ended runs kept at most; the oldest go first.", minimum=1)
    max_bytes: int = setting(2_000_000_000, "Bytes that they may take; the oldest go first.", minimum=1_000_000)


@dataclass(frozen=True, slots=True)
class IdempotencySettings:
    """Answers kept for the same idempotency key; kept sealed."""

    retention_hours: int = setting(24, "Hours until a key is forgotten.", minimum=1, maximum=8_760)
    max_rows: int = setting(100_000, "Keys kept at most; the oldest go first.", minimum=1)
    max_bytes: int = setting(2_000_000_000, "Bytes that they may take; the oldest go first.", minimum=1_000_000)


@dataclass(frozen=True, slots=True)
class ExactCacheSettings:
    """The same question gets the same answer, from memory. Has nothing to do with the cache of model weights."""

    ttl_s: float = setting(0.0, "Seconds that an answer may be given again; 0: never.", minimum=0, maximum=31_536_000)
    max_entries: int = setting(10_000, "Answers kept at most; the ones longest unused go first.", minimum=1)
    max_bytes: int = setting(64_000_000, "Bytes of memory they may take.", minimum=10_000)


@dataclass(frozen=True, slots=True)
class VaultSettings:
    """Who wraps the data keys that seal what is kept of prompts and replies."""

    key: str = setting(
        "",
        "By reference, `env:NAME` or `file:PATH`: 32 bytes in base64, older keys behind the newest. "
        "Empty: `vault.key` in the home, made when first needed.",
        validator=reference,
        secret=True,
    )
    kms: str = setting(
        "",
        "A key service in its place, as `command:/path/of/program arguments`; `key` then only opens what it sealed.",
        validator=kms_reference,
        secret=True,
    )
