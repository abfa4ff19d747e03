"""Building a release keeps no request waiting: a build that waits for an answer to a request ends."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from typing import Any, cast

from sizewise.app.environment_serving import EnvironmentServing

PLACE = ("local", "default", "prod")


@dataclass
class Built:
    """As much of an application as serving looks at."""

    number: int
    settings: Any = None
    label: Any = None


@dataclass
class Settings:
    environments: dict[str, object] = field(default_factory=lambda: {"prod": object()})


class Releases:
    async def load(self, tenant: str, project: str, hash: str) -> str:
        return hash


class NoRows:
    async def list_live(self) -> list[object]:
        return []


def serving(build: Any) -> EnvironmentServing:
    made = EnvironmentServing(cast(Any, NoRows()), cast(Any, Releases()), build)
    made.use(cast(Any, Built(0, Settings())))
    return made


async def test_a_request_is_answered_while_a_release_is_built() -> None:
    answered, threads = threading.Event(), list[threading.Thread]()

    def build(live: Any, release: Any, tenant: str, project: str) -> Any:
        threads.append(threading.current_thread())
        assert answered.wait(30), "the event loop answered nothing while this was built"
        return Built(1)

    environments = serving(build)
    building = asyncio.create_task(environments.application("local", "default", "a" * 64))
    while not threads:
        await asyncio.sleep(0)
    assert not building.done()
    answered.set()  # by the event loop, in the middle of the build
    assert cast(Any, await building).number == 1
    assert threads != [threading.main_thread()]


async def test_settings_that_change_while_a_release_is_built_are_those_that_it_is_built_on() -> None:
    begun, go_on, seen = threading.Event(), threading.Event(), list[int]()

    def build(live: Any, release: Any, tenant: str, project: str) -> Any:
        seen.append(live.number)
        begun.set()
        assert go_on.wait(30)
        return Built(live.number)

    environments = serving(build)
    building = asyncio.create_task(environments.application("local", "default", "a" * 64))
    await asyncio.to_thread(begun.wait, 30)
    environments.use(cast(Any, Built(7, Settings())))
    go_on.set()
    assert cast(Any, await building).number == 7 and seen == [0, 7]
