"""Measures one running gateway, round by round beside the bare upstream; knows no gateway by name."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from dataclasses import dataclass, fields
from statistics import median
from typing import cast

from bench.gateway.exchange import EVENTS, ROUTE, Kind, is_right, question
from bench.gateway.process import Program, core

CONNECTIONS, STREAM_CONNECTIONS = 64, 16
LATENCY_RATE, STREAM_RATE = 100.0, 25.0
FULL_CORE = 0.95


class Wrong(Exception):
    """The gateway did not pass the question or the answer on unharmed."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how to ask."""

    port: int
    model: str = "tiny"
    headers: tuple[str, ...] = ()


@dataclass(slots=True)
class Figures:
    """One row. None: not measured, or refused (then `errors` says why). Added figures are over the bare upstream's."""

    requests_s: float | None = None
    cpu_us: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    added_p50_ms: float | None = None
    added_p99_ms: float | None = None
    long_requests_s: float | None = None
    events_s: float | None = None
    event_cpu_us: float | None = None
    first_p50_ms: float | None = None
    added_first_p50_ms: float | None = None
    added_first_p99_ms: float | None = None
    gateway_core_busy: float | None = None
    load_core_busy: float | None = None
    rss_idle_mb: float | None = None
    rss_loaded_mb: float | None = None
    cold_start_s: float | None = None
    errors: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """The sums of one run of the load, see load.py."""

    answered: int
    per_second: float
    events_per_second: float
    p50_ms: float
    p99_ms: float
    first_p50_ms: float
    first_p99_ms: float
    wall_s: float
    cpu_s: float
    gateway_cpu_s: float
    upstream_cpu_s: float

    @property
    def cpu_us(self) -> float:
        return 1e6 * self.gateway_cpu_s / self.answered


@dataclass(frozen=True, slots=True)
class Bench:
    """The bare upstream, the core of the load, and how long to measure: `rounds` of `seconds` a figure."""

    upstream: Program
    upstream_port: int
    load_core: int
    rounds: int
    seconds: float

    def direct(self) -> Figures:
        """The upstream with nothing in between: what the load can do at most."""
        target = Target(self.upstream_port)
        return _middle([self._round(target, None) for _ in range(self.rounds)])

    def row(self, gateway: Program, target: Target) -> Figures:
        """All figures of one gateway but its memory and its start."""
        try:
            check(target)
            self.load(target, gateway, "plain", f"--connections={CONNECTIONS}", seconds=min(2.0, self.seconds))
            return _middle([self._round(target, gateway) for _ in range(self.rounds)])
        except Wrong as wrong:
            return Figures(errors=str(wrong))

    def _round(self, target: Target, gateway: Program | None) -> Figures:
        figures = Figures()
        busy = self.load(target, gateway, "plain", f"--connections={CONNECTIONS}")
        figures.requests_s, figures.cpu_us = busy.per_second, busy.cpu_us if gateway else None
        figures.gateway_core_busy = busy.gateway_cpu_s / busy.wall_s if gateway else None
        figures.load_core_busy = (busy.cpu_s + busy.upstream_cpu_s) / busy.wall_s
        figures.long_requests_s = self.load(target, gateway, "long", f"--connections={CONNECTIONS}").per_second
        self._latency(figures, target, gateway)
        try:
            self._streams(figures, target, gateway)
        except Wrong as wrong:
            figures.errors = f"streams: {wrong}"
        return figures

    def _latency(self, figures: Figures, target: Target, gateway: Program | None) -> None:
        calm = self.load(target, gateway, "plain", f"--rate={LATENCY_RATE}")
        figures.p50_ms, figures.p99_ms = calm.p50_ms, calm.p99_ms
        if gateway:
            bare = self.load(Target(self.upstream_port), None, "plain", f"--rate={LATENCY_RATE}")
            figures.added_p50_ms, figures.added_p99_ms = calm.p50_ms - bare.p50_ms, calm.p99_ms - bare.p99_ms

    def _streams(self, figures: Figures, target: Target, gateway: Program | None) -> None:
        fast = self.load(target, gateway, "stream", f"--connections={STREAM_CONNECTIONS}")
        figures.events_s = fast.events_per_second
        paced = self.load(target, gateway, "paced", f"--rate={STREAM_RATE}")
        figures.first_p50_ms = paced.first_p50_ms
        if gateway:
            alone = self.load(target, gateway, "dripped", f"--connections={STREAM_CONNECTIONS}")
            figures.event_cpu_us = alone.cpu_us / EVENTS["dripped"]
            bare = self.load(Target(self.upstream_port), None, "paced", f"--rate={STREAM_RATE}")
            figures.added_first_p50_ms = paced.first_p50_ms - bare.first_p50_ms
            figures.added_first_p99_ms = paced.first_p99_ms - bare.first_p99_ms

    def load(self, target: Target, gateway: Program | None, kind: Kind, how: str, seconds: float = 0.0) -> Heard:
        """Runs load.py; raises Wrong if one answer was wrong or none came."""
        seconds = seconds or self.seconds
        command = [sys.executable, "-m", "bench.gateway.load", f"--port={target.port}", f"--model={target.model}"]
        command += [f"--kind={kind}", how, f"--seconds={seconds}", *(f"--header={line}" for line in target.headers)]
        gateway_s, upstream_s = gateway.cpu_s() if gateway else 0.0, self.upstream.cpu_s()
        with core(self.load_core):
            ran = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=seconds + 60,
                check=False,
                env=dict(os.environ),
            )
        if ran.returncode:
            raise Wrong(f"the load failed: {ran.stderr[-300:]}")
        sums = cast("dict[str, float]", json.loads(ran.stdout))
        errors, error = int(sums.pop("errors")), sums.pop("error")
        if errors or not sums["answered"]:
            raise Wrong(f"{errors} of {errors + int(sums['answered'])} {kind} answers: {error}")
        gateway_s, upstream_s = gateway.cpu_s() - gateway_s if gateway else 0.0, self.upstream.cpu_s() - upstream_s
        return Heard(**sums | {"gateway_cpu_s": gateway_s, "upstream_cpu_s": upstream_s})  # type: ignore[arg-type]  # the numbers of one JSON line


def check(target: Target) -> None:
    """Asks once, slowly and thoroughly: the answer must say word for word what the upstream said."""
    headers = {"content-type": "application/json"} | dict(line.split(": ", 1) for line in target.headers)
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=20)
    try:
        connection.request("POST", ROUTE, question("plain", target.model).body, headers)
        answer = connection.getresponse()
        body = answer.read()
    except OSError as error:
        raise Wrong(f"no answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200 or not is_right(body):
        raise Wrong(f"status {answer.status}: {body[:300]!r}")


def _middle(rounds: list[Figures]) -> Figures:
    """Each figure's median over the rounds that have it."""
    middle = Figures(errors=next((one.errors for one in rounds if one.errors), ""))
    for name in (field.name for field in fields(Figures) if field.name != "errors"):
        values = [value for one in rounds if (value := getattr(one, name)) is not None]
        setattr(middle, name, median(values) if values else None)
    return middle
