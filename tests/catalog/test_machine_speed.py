"""The machine is measured once for a server, however many of its requests ask at once, and however busy it is."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sizewise.catalog.machine_speed import TIME_OF_THREAD, MachineSpeedOnce, measure_machine


def test_all_who_ask_a_server_share_one_measurement() -> None:
    once = MachineSpeedOnce()
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(lambda _: once.measure(), range(4))
    assert first.copy_gb_per_s > 0 and first.cores >= 1
    assert all(each is first for each in [*others, once.measure()])


def test_a_command_measures_for_itself() -> None:
    assert measure_machine() is not measure_machine()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows counts the time of a thread in steps of 16 ms")
def test_what_a_thread_waits_for_others_does_not_make_the_machine_slow() -> None:
    since = TIME_OF_THREAD()
    time.sleep(0.2)
    assert TIME_OF_THREAD() - since < 0.1
