"""Worker process for offloaded work: calls the named functions on what it receives; opens nothing, stores nothing.

`python -m sizewise.offload.worker FD [LIMITS]` talks over the inherited socket FD, handles one job at a time, and ends
with its parent. LIMITS: WorkerLimits as JSON. A job is the name of a factory (`module:function`), the argument of the
factory, and the parts of the input. What a factory makes is kept for jobs with the same argument: loading guards takes
longer than scanning with them.
"""

from __future__ import annotations

import gc
import os
import resource
import socket
import sys
from collections import OrderedDict

import msgspec

from sizewise.errors import SizewiseError
from sizewise.offload.frames import PART_COUNT, PART_LENGTH, Bytes, decode_lengths, encode_head
from sizewise.offload.job import OUT_OF_MEMORY, JobError, Work, WorkerLimits, find_function
from sizewise.parent_process import end_with_parent

MAX_KEPT = 8
"""Callables kept; the least recently used is dropped."""
READ_BYTES = 1 << 20
NICENESS = 5
"""On a full machine the event loop goes first."""


class OffloadWorker:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._kept: OrderedDict[tuple[bytes, bytes], Work] = OrderedDict()

    def run(self) -> None:
        try:
            while head := self._receive(PART_COUNT.size):
                (count,) = PART_COUNT.unpack(head)
                lengths = decode_lengths(self._receive(count * PART_LENGTH.size))
                self._answer([self._receive(length) for length in lengths])
        except OSError:
            pass  # the server is gone

    def _answer(self, job: list[bytes]) -> None:
        name, setup, *parts = job
        del job
        try:
            self._send([b"", *self._work(name, setup)(*parts)])
        except SizewiseError as error:
            self._send([msgspec.json.encode(JobError.of(error))])
        except MemoryError:
            self._kept.clear()
            self._send([OUT_OF_MEMORY])

    def _work(self, name: bytes, setup: bytes) -> Work:
        made = self._kept.pop((name, setup), None)
        if made is None:
            made = find_function(name)(setup)
        self._kept[name, setup] = made
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return made

    def _send(self, parts: list[Bytes]) -> None:
        self._socket.sendall(encode_head(parts))
        for each in parts:
            self._socket.sendall(each)

    def _receive(self, length: int) -> bytes:
        """Exactly `length` bytes; fewer if the socket has closed."""
        taken = bytearray()
        while len(taken) < length and (more := self._socket.recv(min(READ_BYTES, length - len(taken)))):
            taken += more
        return bytes(taken)


def apply_limits(limits: WorkerLimits) -> None:
    if limits.memory_bytes:
        _limit(resource.RLIMIT_DATA, limits.memory_bytes)  # not the address space, of which threads reserve a lot
    if limits.cpu_s:
        resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))  # SIGXCPU first: it says why
    if limits.confined:
        _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def main() -> None:
    end_with_parent()
    gc.freeze()
    os.nice(NICENESS)
    if len(sys.argv) > 2:
        apply_limits(msgspec.json.decode(sys.argv[2], type=WorkerLimits))
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        OffloadWorker(connection).run()


if __name__ == "__main__":
    main()
