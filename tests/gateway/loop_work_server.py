"""`sizewise up` that counts our functions by the thread they run in, the loop's or another; SIGUSR1 says it, once."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

from sizewise.cli.main import main

PACKAGE = str(Path(sys.modules["sizewise"].__file__ or "").parent)
called: Counter[str] = Counter()


def note(frame: FrameType, event: str, argument: object) -> None:
    if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
        place = Path(frame.f_code.co_filename).relative_to(PACKAGE).with_suffix("")
        called[f"{place}:{frame.f_code.co_name}"] += 1


def note_beside(frame: FrameType, event: str, argument: object) -> None:
    if event == "call" and frame.f_code.co_filename.startswith(PACKAGE):
        called[f"beside {Path(frame.f_code.co_filename).stem}:{frame.f_code.co_name}"] += 1


def tell(number: int, frame: FrameType | None) -> None:
    sys.stderr.write(f"called {json.dumps(called)}\n")
    called.clear()


signal.signal(signal.SIGUSR1, tell)
sys.setprofile(note)  # of this thread alone, which the event loop runs in
threading.setprofile(note_beside)  # of threads that start from now on
main()
