"""Forks processes of the server from the supervisor, which has imported everything and runs no thread.

A forked process starts in a tenth of the time of a new one and shares its memory. It ends when the supervisor does.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from sizewise.errors import SizewiseError
from sizewise.parent_process import end_with_parent

FAILED, CRASHED = 3, 70
"""Exit codes: the process could not start and said why; it had an unexpected error."""


def fork(name: str, main: Callable[[], None], report: Callable[[SizewiseError], None]) -> int:
    """The process id of a child that runs `main`. `name` (15 bytes) is shown by `ps` and `top`, on Linux. `report` is
    called in the child with the error that ended it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()  # collections of the child copy no page of what it shares
    pid = os.fork()
    if pid:
        return pid
    code = CRASHED
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        os.setsid()  # Ctrl-C at the terminal reaches the supervisor alone
        end_with_parent()
        _set_name(name)
        main()
        code = 0
    except SizewiseError as error:
        report(error)
        code = FAILED
    finally:  # the child must not return into the supervisor's code
        if sys.exc_info()[0] is not None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _set_name(name: str) -> None:
    if sys.platform == "linux":
        Path("/proc/self/comm").write_text(name)
