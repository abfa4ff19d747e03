"""`sizewise up` without the garbage collector; SIGUSR1 says how many objects of each kind of ours are alive."""

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


gc.disable()
signal.signal(signal.SIGUSR1, tell)
main()
