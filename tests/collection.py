"""Each worker of a run begins its collection elsewhere, so that a test file is compiled by one of them, not by all."""

from __future__ import annotations

from typing import Any, TypeVar

import pytest

T = TypeVar("T")


def turned(items: list[T], worker: int, workers: int) -> list[T]:
    """The same items, from the share of this worker on."""
    first = len(items) * worker // workers
    return items[first:] + items[:first]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Any:
    report = yield
    of_worker = getattr(collector.config, "workerinput", None)
    if of_worker and isinstance(collector, pytest.Directory):
        number = int(of_worker["workerid"].removeprefix("gw"))
        report.result = turned(report.result, number, of_worker["workercount"])
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All workers must name the tests in one order; within a file they already do."""
    items.sort(key=lambda item: item.path)
