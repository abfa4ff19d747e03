"""What all tests share: a server on the echo model, the weights that `make test` fetched, the skips in order."""

from __future__ import annotations

import ast
import functools
import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from sizewise.catalog.loader import bundled_models, weights_path
from sizewise.settings.load import load_settings
from tests.history import record_history
from tests.running_server import STATE, Served, serving

pytest_plugins = ["tests.postgres", "tests.collection"]
T = TypeVar("T")


def without_collector(function: Callable[..., T]) -> Callable[..., T]:
    @functools.wraps(function)
    def work(*args: Any, **kwargs: Any) -> T:
        was_on = gc.isenabled()
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            if was_on:
                gc.enable()

    return work


if sys.version_info < (3, 12):  # python/cpython#106905: an AST that is built while the collector runs is refused
    ast.parse = without_collector(ast.parse)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # of a shell's background job; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["XDG_STATE_HOME"] = str(STATE)  # of what a test starts with the environment of this process

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with two echo models, echo/small and echo/large."""
    with serving(tmp_path_factory.mktemp("echo")) as served:
        yield served


def weights(model: str) -> Path:
    row = bundled_models()[model]
    path = weights_path(row.weights, load_settings(environ=dict(os.environ)).cache_dir)
    if not path.is_file():
        pytest.skip(f"the weights of {model} are not here; get them with: sizewise models pull {model}")
    return path


@pytest.fixture(scope="session")
def smollm_gguf() -> Path:
    return weights("smollm2-135m")


@pytest.fixture(scope="session")
def qwen_gguf() -> Path:
    return weights("qwen2.5-coder-1.5b")


def pytest_configure(config: pytest.Config) -> None:
    record_history(config)


# ---- skips


SKIPS = Path(__file__).with_name("skips.txt")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--only-listed-skips",
        action="store_true",
        help="fail where a test is skipped that tests/skips.txt does not list",
    )


def listed() -> list[tuple[str, str]]:
    """The file of each skip that is in order, and its reason, in which * stands for anything."""
    lines = [line.partition(" # ")[0] for line in SKIPS.read_text().splitlines() if line and not line.startswith("#")]
    return [(file, reason.strip()) for file, _, reason in (line.partition(" ") for line in lines)]


def unlisted(skipped: list[tuple[str, str]]) -> list[str]:
    """Of (file, reason) those that are not listed, each once."""
    known = listed()
    return [
        f"{file}: {reason}"
        for file, reason in dict.fromkeys(skipped)
        if not any(file == where and fnmatch(reason, why) for where, why in known)
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where many share the work, only who prints has all the reports."""
    printer: Any = session.config.pluginmanager.get_plugin("terminalreporter")
    if printer is None:
        return
    if not session.config.getoption("only_listed_skips"):
        return
    skipped = [(each.nodeid.partition("::")[0], reason(each)) for each in printer.stats.get("skipped", ())]
    if strange := unlisted(skipped):
        printer.section("skipped, and not listed in tests/skips.txt", red=True)
        for line in strange:
            printer.line(line)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def reason(report: Any) -> str:
    """In its author's words: `longrepr` is (file, line, "Skipped: ...")."""
    return str(report.longrepr[2]).removeprefix("Skipped: ")
