"""`sizewise up` without the garbage collector; SIGUSR1 counts objects of ours by kind, SIGUSR2 what cycles hold."""

from __future__ import annotations

import gc
import json
import signal
import sys
from collections import Counter
from types import FrameType

from sizewise.cli.main import main


def tell(number: int, frame: FrameType | None) -> None:
    kinds = [type(each) for each in gc.get_objects()]
    alive = Counter(kind.__qualname__ for kind in kinds if kind.__module__.startswith("sizewise."))
    sys.stderr.write(f"alive {json.dumps(alive)}\n")


def collect(number: int, frame: FrameType | None) -> None:
    sys.stderr.write(f"collected {gc.collect()}\n")


gc.disable()
signal.signal(signal.SIGUSR1, tell)
signal.signal(signal.SIGUSR2, collect)
main()
