"""All that passes a network of its own, where every address in the world is this machine: who spoke to whom, and what.

Needs Linux, its `ip` and `unshare`, and the right to make a network namespace (root, or user namespaces).
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

EVERY_PROTOCOL = 3
SOL_PACKET, PACKET_STATISTICS, SO_RCVBUFFORCE = 263, 6, 33
TCP, UDP = 6, 17


def missing() -> str:
    """What this machine lacks for a capture, with the way to get it; empty when all is there."""
    for program, package in (("unshare", "util-linux"), ("ip", "iproute2")):
        if not shutil.which(program):
            return f"needs `{program}`: apt install {package}"
    tried = subprocess.run([*APART, "true"], capture_output=True, text=True)
    return "" if tried.returncode == 0 else "may not make a network namespace: run it as root"


APART = ("unshare", "--net", "--map-root-user")
"""Runs a command in a network of its own."""


def everywhere_is_here() -> None:
    """Every address is local from now on: whatever tries to reach one, does, and is seen."""
    for words in (
        "ip link set lo up",
        "ip route add local 0.0.0.0/0 dev lo table local",
        "ip -6 route add local ::/0 dev lo table local",
    ):
        done = subprocess.run(words.split(), capture_output=True, text=True)
        assert done.returncode == 0 or "-6" in words, done.stderr


@dataclass
class Capture:
    """`said` is what was sent to an (address, port), in order; `datagrams` who was sent anything but TCP."""

    said: dict[tuple[str, int], bytes] = field(default_factory=dict)
    opened: set[tuple[str, int]] = field(default_factory=set)  # whom a connection was opened to, or tried
    datagrams: set[tuple[str, int]] = field(default_factory=set)
    lost: int = 0  # packets that were not seen


class Wire:
    """`with Wire() as wire:` listens; `wire.capture()` afterwards."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        except PermissionError:  # in a user namespace: as much as everybody may have
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 20)
        self._socket.settimeout(0.1)
        self._packets: list[bytes] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Wire:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._lost = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]
        self._socket.close()

    def _listen(self) -> None:
        while True:
            try:
                self._packets.append(self._socket.recv(1 << 17))
            except TimeoutError:
                if self._ending.is_set():
                    return

    def capture(self) -> Capture:
        found = Capture(lost=self._lost)
        flows: dict[tuple[str, int, str, int], dict[int, bytes]] = {}
        for protocol, source, to, body in filter(None, map(_packet, self._packets)):
            if protocol != TCP:
                port = struct.unpack("!H", body[2:4])[0] if protocol == UDP else 0
                found.datagrams.add((to, port))
                continue
            from_port, port, sequence = struct.unpack("!HHI", body[:8])
            if body[13] & 0x12 == 0x02:  # SYN without ACK
                found.opened.add((to, port))
            payload = body[(body[12] >> 4) * 4 :]
            if payload:
                flows.setdefault((source, from_port, to, port), {})[sequence] = payload
        for (_, _, to, port), pieces in flows.items():
            whole = b"".join(pieces[sequence] for sequence in sorted(pieces))
            found.said[to, port] = found.said.get((to, port), b"") + b"\0" + whole
        return found


def _packet(frame: bytes) -> tuple[int, str, str, bytes] | None:
    """Protocol, source, destination and what is in it, of an Ethernet frame; None for what is no IP."""
    kind, packet = frame[12:14], frame[14:]
    if kind == b"\x08\x00":
        length = (packet[0] & 15) * 4
        source, to = str(IPv4Address(packet[12:16])), str(IPv4Address(packet[16:20]))
        return packet[9], source, to, packet[length : struct.unpack("!H", packet[2:4])[0] or None]
    if kind == b"\x86\xdd":
        return packet[6], str(IPv6Address(packet[8:24])), str(IPv6Address(packet[24:40])), packet[40:]
    return None


def mentions(capture: Capture, word: str) -> Iterator[str]:
    """The addresses that were sent `word`."""
    for (to, _), said in capture.said.items():
        if word.encode() in said:
            yield to
