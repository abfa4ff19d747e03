"""Figures as one Markdown table, each peer's with its ratio to Sizewise; measures nothing."""

from __future__ import annotations

from collections.abc import Mapping

from bench.gateway.measure import FULL_CORE, Figures

MOST_OF_A_CORE = 0.85
Column = tuple[str, str, bool | None]
COLUMNS: tuple[Column, ...] = (
    ("requests/s", "requests_s", True),
    ("of its core", "gateway_core_busy", None),
    ("CPU us/request", "cpu_us", False),
    ("added p50 ms", "added_p50_ms", False),
    ("added p99 ms", "added_p99_ms", False),
    ("40 KB requests/s", "long_requests_s", True),
    ("stream events/s", "events_s", True),
    ("CPU us/event", "event_cpu_us", False),
    ("added first event p50 ms", "added_first_p50_ms", False),
    ("p99 ms", "added_first_p99_ms", False),
    ("RSS MB idle", "rss_idle_mb", False),
    ("loaded", "rss_loaded_mb", False),
    ("cold start s", "cold_start_s", False),
)
"""Heading, field of Figures, and whether more is better (None: neither, no ratio)."""


def table(rows: Mapping[str, Figures], subject: str) -> str:
    """`rows` in their order, ratios beside those of peers; none where `subject` was not measured."""
    lines = ["| | " + " | ".join(heading for heading, _, _ in COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    base = rows.get(subject)
    for name, figures in rows.items():
        beside = None if name == "direct" or name.startswith(subject) else base
        cells = [_cell(figures, column, beside) for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    if shared := [name for name, figures in rows.items() if _shared(figures)]:
        lines.append(f"Others used the core of {', '.join(shared)}: believe CPU us, and run again on a quiet machine.")
    lines += [f"{name}: {figures.errors}" for name, figures in rows.items() if figures.errors]
    return "\n".join(lines)


def _cell(figures: Figures, column: Column, base: Figures | None) -> str:
    _, name, more_is_better = column
    value: float | None = getattr(figures, name)
    if value is None:
        return "-"
    least = name == "requests_s" and (figures.load_core_busy or 0) > FULL_CORE
    text = (">" if least else "") + _number(value)
    other: float | None = getattr(base, name) if base else None
    if more_is_better is None or not other or value <= 0 or other < 0:
        return text
    return f"{text} ({_number(other / value if more_is_better else value / other)}x)"


def _shared(figures: Figures) -> bool:
    """Whether neither the gateway nor the load had enough to do with its core: somebody else had it."""
    return (figures.gateway_core_busy or 1) < MOST_OF_A_CORE and (figures.load_core_busy or 0) < MOST_OF_A_CORE


def _number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
