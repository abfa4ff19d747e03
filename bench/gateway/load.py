"""Asks one gateway the same question as fast, or as regularly, as told, and counts what came back right.

`--connections N` is a closed loop: each connection asks again as soon as it is answered. `--rate R` is an open loop: a
question every 1/R s whether or not the last was answered, its clock started by the schedule. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import deque
from time import perf_counter, process_time
from typing import get_args

import uvloop

from bench.gateway.connection import Connection, Heard, OnAnswer
from bench.gateway.exchange import ROUTE, STREAMS, Kind, question

MOST_CONNECTIONS = 256
"""Connections over which an open loop spreads; past it questions queue, their clocks running."""
LAST_ANSWERS_S = 10.0
"""How long a run waits for answers still out when its time is over; those missing then are errors."""


class Load:
    """One run against one port of 127.0.0.1: what is asked, what is still out, and the sums.

    `in_time` counts the answers that ended within the run, `events_out` the events of streams still going at its end.
    """

    def __init__(self, port: int, kind: Kind, model: str, headers: list[str]) -> None:
        asked = question(kind, model)
        head = [f"POST {ROUTE} HTTP/1.1", f"host: 127.0.0.1:{port}", "content-type: application/json", *headers]
        head.append(f"content-length: {len(asked.body)}")
        self.request = "\r\n".join(head).encode() + b"\r\n\r\n" + asked.body
        self.port, self.marks, self.streams = port, asked.marks, kind in STREAMS
        self.first_s: list[float] = []
        self.last_s: list[float] = []
        self.wrong: list[str] = []
        self.out = self.in_time = self.events_out = 0
        self.until = 0.0
        self.began_s, self.began_cpu_s = perf_counter(), process_time()
        self.quiet = asyncio.Event()
        self.over = False
        self.connections: list[Connection] = []

    async def connect(self, on_answer: OnAnswer) -> Connection | None:
        """None, and an error booked, if the gateway refuses."""
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_connection(lambda: Connection(on_answer), "127.0.0.1", self.port)
        except OSError as error:
            self.wrong.append(f"no connection: {error}")
            return None
        self.connections.append(connection)
        return connection

    def ask(self, connection: Connection, since: float) -> None:
        self.out += 1
        connection.ask(self.request, self.marks, self.streams, since)

    def book(self, heard: Heard) -> None:
        if self.over:
            return
        self.out -= 1
        if not self.out:
            self.quiet.set()
        if heard.wrong:
            self.wrong.append(heard.wrong)
            return
        self.first_s.append(heard.first_s)
        self.last_s.append(heard.last_s)
        if perf_counter() <= self.until:
            self.in_time += 1

    async def drain(self) -> None:
        """Waits for the answers still out, then hangs up."""
        if self.out:
            self.quiet.clear()
            try:
                await asyncio.wait_for(self.quiet.wait(), LAST_ANSWERS_S)
            except TimeoutError:
                pass
        self.over = True
        self.wrong += [f"no answer {LAST_ANSWERS_S:.0f} s after the end"] * self.out
        for connection in self.connections:
            connection.close()

    def sums(self, seconds: float) -> dict[str, object]:
        return {
            "answered": len(self.last_s),
            "per_second": self.in_time / seconds,
            "events_per_second": (self.in_time * self.marks + self.events_out) / seconds,
            "p50_ms": _percentile_ms(self.last_s, 0.50),
            "p99_ms": _percentile_ms(self.last_s, 0.99),
            "first_p50_ms": _percentile_ms(self.first_s, 0.50),
            "first_p99_ms": _percentile_ms(self.first_s, 0.99),
            "wall_s": perf_counter() - self.began_s,
            "cpu_s": process_time() - self.began_cpu_s,
            "errors": len(self.wrong),
            "error": max(set(self.wrong), key=self.wrong.count, default=""),
        }


async def closed(load: Load, connections: int, seconds: float) -> None:
    """Every one of `connections` asks again and again for `seconds`; one that was hung up on is replaced."""
    reconnecting: set[asyncio.Task[None]] = set()

    def again(connection: Connection, heard: Heard) -> None:
        load.book(heard)
        now = perf_counter()
        if now >= load.until:
            return
        if connection.open:
            load.ask(connection, now)
        elif len(load.wrong) < 10 * connections:
            task = asyncio.ensure_future(start())
            reconnecting.add(task)
            task.add_done_callback(reconnecting.discard)

    async def start() -> None:
        connection = await load.connect(again)
        if connection is not None and (now := perf_counter()) < load.until:
            load.ask(connection, now)

    load.until = perf_counter() + seconds
    await asyncio.gather(*(start() for _ in range(connections)))
    await asyncio.sleep(max(0.0, load.until - perf_counter()))
    load.events_out = sum(connection.heard.marks for connection in load.connections if connection.heard)
    await load.drain()


async def regular(load: Load, rate: float, seconds: float) -> None:
    """`rate` questions a second for `seconds`, over as many connections as that takes."""
    idle: deque[Connection] = deque()
    due: deque[float] = deque()
    connecting: set[asyncio.Task[None]] = set()

    def rest(connection: Connection, heard: Heard) -> None:
        load.book(heard)
        if connection.open:
            take(connection)

    def take(connection: Connection) -> None:
        if due:
            load.ask(connection, due.popleft())
        else:
            idle.append(connection)

    async def another() -> None:
        connection = await load.connect(rest)
        if connection is not None:
            take(connection)

    def tick() -> None:
        due.append(perf_counter())
        while idle and due:
            connection = idle.popleft()
            if connection.open:
                load.ask(connection, due.popleft())
        if due and len(connecting) + load.out < MOST_CONNECTIONS:
            task = asyncio.ensure_future(another())
            connecting.add(task)
            task.add_done_callback(connecting.discard)

    await asyncio.gather(*(another() for _ in range(4)))
    loop, start = asyncio.get_running_loop(), asyncio.get_running_loop().time() + 0.01
    load.until = perf_counter() + seconds + LAST_ANSWERS_S
    for number in range(int(rate * seconds)):
        loop.call_at(start + number / rate, tick)
    await asyncio.sleep(seconds + 0.05)
    await load.drain()
    load.wrong += ["never sent"] * len(due)


def _percentile_ms(seconds: list[float], share: float) -> float | None:
    """Nearest rank; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--kind", choices=get_args(Kind), default="plain")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--header", action="append", default=[], help='"name: value", as often as needed')
    parser.add_argument("--seconds", type=float, default=5.0)
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--connections", type=int)
    how.add_argument("--rate", type=float)
    asked = parser.parse_args()
    load = Load(asked.port, asked.kind, asked.model, asked.header)
    if asked.connections:
        uvloop.run(closed(load, asked.connections, asked.seconds))
    else:
        uvloop.run(regular(load, asked.rate, asked.seconds))
    print(json.dumps(load.sums(asked.seconds)))


if __name__ == "__main__":
    main()
