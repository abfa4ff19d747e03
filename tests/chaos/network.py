"""Machines of one network, each a network namespace of this one: any two of them can be cut off from each other.

Needs root, `ip` and `nsenter`. The thread that makes them, and all that it starts meanwhile, stands beside them. Run as
a program, it takes the arguments of `sizewise` and runs them on one of them.
What is sent between two that are cut off is lost without a word, as behind a switch that died: the address leads to a
hardware address that nobody has.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

NOBODY = "02:00:00:00:00:01"
HOLDER = "SIZEWISE_MACHINE"
CLONE_NEWNET = 0x40000000  # <linux/sched.h>


def missing() -> str:
    """What this machine lacks, with the way to get it; empty when all is there."""
    for program, package in (("ip", "iproute2"), ("nsenter", "util-linux"), ("setpriv", "util-linux")):
        if not shutil.which(program):
            return f"needs `{program}`: apt install {package}"
    tried = subprocess.run(["unshare", "--net", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"])
    return "" if tried.returncode == 0 else "may make no network namespaces: run it as root"


def ip(*words: str, at: Machine | None = None) -> None:
    subprocess.run([*(at.inside if at else ()), "ip", *words], check=True, timeout=30)


@dataclass
class Machine:
    name: str
    address: str
    holder: int  # a process that keeps its namespace
    cut_off: set[str] = field(default_factory=set)  # addresses

    @property
    def inside(self) -> Sequence[str]:
        """Before the words of a command that is to run here."""
        return ("nsenter", f"--net=/proc/{self.holder}/ns/net")

    @property
    def environ(self) -> dict[str, str]:
        return {HOLDER: str(self.holder)}

    def lose(self, other: Machine) -> None:
        """Neither hears of the other any more."""
        for here, there in ((self, other), (other, self)):
            ip("neigh", "replace", there.address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent", at=here)
            here.cut_off.add(there.address)

    def find(self, other: Machine) -> None:
        for here, there in ((self, other), (other, self)):
            ip("neigh", "del", there.address, "dev", "eth0", at=here)
            here.cut_off.discard(there.address)


@contextmanager
def machines(*names: str) -> Iterator[list[Machine]]:
    """All of them see each other and are seen from here. Nothing of it is left, however this process ends."""
    with ExitStack() as stack:

        def holder() -> int:
            words = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", "echo; exec sleep 3600"]
            process = subprocess.Popen(words, stdout=subprocess.PIPE)
            assert process.stdout is not None
            for end in (process.wait, process.kill, process.stdout.close):
                stack.callback(end)
            process.stdout.readline()  # it has its namespace
            return process.pid

        switch = Machine("switch", "", holder())
        ip("link", "add", "br0", "type", "bridge", at=switch)
        ip("address", "add", "10.213.0.254/24", "dev", "br0", at=switch)
        for device in ("lo", "br0"):
            ip("link", "set", device, "up", at=switch)
        made = []
        for number, name in enumerate(names, 1):
            machine, port = Machine(name, f"10.213.0.{number}", holder()), f"port{number}"
            pair = ("type", "veth", "peer", "name", "eth0", "netns", str(machine.holder))
            ip("link", "add", port, *pair, at=switch)
            ip("link", "set", port, "master", "br0", "up", at=switch)
            ip("address", "add", f"{machine.address}/24", "dev", "eth0", at=machine)
            for device in ("lo", "eth0"):
                ip("link", "set", device, "up", at=machine)
            made.append(machine)
        with beside(switch):
            yield made


@contextmanager
def beside(machine: Machine) -> Iterator[None]:
    """This thread, and those that it starts, are in the namespace of `machine`."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    other = os.open(f"/proc/{machine.holder}/ns/net", os.O_RDONLY)
    try:
        enter_network(other)
        yield
    finally:
        enter_network(home)
        os.close(home)
        os.close(other)


def enter_network(namespace: int) -> None:
    """`os.setns`, which came with Python 3.12. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    words = [f"--net=/proc/{os.environ[HOLDER]}/ns/net", sys.executable, "-m", "sizewise.cli.main", *sys.argv[1:]]
    os.execvp("nsenter", ["nsenter", *words])
