"""`sizewise up` on a machine whose clock is set: SIGUSR1 puts it an hour ahead, SIGUSR2 sets it right."""

from __future__ import annotations

import signal
import time
from types import FrameType

real, ahead = time.time, 0.0


def set_clock(number: int, frame: FrameType | None) -> None:
    global ahead
    ahead = 3_600.0 if number == signal.SIGUSR1 else 0.0


time.time = lambda: real() + ahead
signal.signal(signal.SIGUSR1, set_clock)
signal.signal(signal.SIGUSR2, set_clock)

from sizewise.cli.main import main  # noqa: E402 - the clock comes first

main()
