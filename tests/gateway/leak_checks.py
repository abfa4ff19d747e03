"""What a server must not leave behind: requests, file descriptors, upstreams at work, memory, words."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sizewise.testing.upstream import FakeOpenAI
from tests.gateway.fault_matrix import BACKUP, PROMPT
from tests.gateway.server_harness import SECRET
from tests.running_server import Served, until


def held(served: Served) -> int:
    """File descriptors of the server, but those of its database: that pool opens more when more is read at once."""
    count = 0
    for each in os.scandir(f"/proc/{served.process.pid}/fd"):
        with suppress(FileNotFoundError):  # closed since
            count += "sizewise.db" not in os.readlink(each.path)
    return count


def resident(served: Served) -> int:
    """Bytes of its memory."""
    pages = int(Path(f"/proc/{served.process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def in_flight(served: Served) -> int:
    """Requests being answered, as /metrics counts them."""
    text = served.ask("/metrics").body.decode()
    return int(float(text.partition("\nsizewise_requests_in_flight ")[2].partition("\n")[0]))


def at_rest(served: Served, up: FakeOpenAI) -> None:
    """Nothing is being answered, no upstream is at work, nothing was said that must not be, and yet it answers."""
    until(lambda: in_flight(served) == 0)
    until(lambda: up.received.active_requests == 0)
    assert served.chat(BACKUP).status == 200
    said = "".join(served.said)
    assert not any(word in said for word in ("Traceback", "unforeseen", SECRET, PROMPT, served.key)), said[:2000]
