"""What these SDKs talk to: an echo that calls tools and sees, in the server itself or behind each of our wires."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

import pytest

from tests.running_server import Served, serving

BACK = """
[server]
embedded = false
discover = false
[providers.able]
wire = "echo"
place = "process"
models = ["model", "other", "vectors"]
headers = {cues = "[[call]]"}
[models."able/model"]
tools = true
logprobs = true
input_modalities = ["image", "audio", "file"]
price = {input = "1", output = "2.5"}
[models."able/vectors"]
task = "embed"
"""
"""`able/model` calls an offered tool wherever a person asked; `sees` lets images, sounds and files through to it."""

FRONT = """
[server]
embedded = false
discover = false
[providers.far]
wire = "{wire}"
base_url = "{url}/v1"
key = "env:FAR_KEY"
place = "machine"
models = ["able/model", "able/other"]
[models."far/able/model"]
tools = true
logprobs = true
input_modalities = ["image", "audio", "file"]
[providers.near]
wire = "openai"
base_url = "{url}/v1"
key = "env:FAR_KEY"
place = "machine"
models = ["able/vectors"]
[models."near/able/vectors"]
task = "embed"
"""
"""Another of our servers as the upstream, over one of the wires; vectors pass over the one wire that has them."""

WIRES = ("openai", "responses", "anthropic")

QUIET = {
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "AI_SDK_TELEMETRY_DISABLED": "1",
    "AI_SDK_LOG_WARNINGS": "false",
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}
"""What makes SDKs keep to themselves."""


@dataclass(frozen=True)
class Able:
    """A server and what its models are called: `url` without a path, models by their full names."""

    url: str
    key: str
    model: str = "able/model"
    other: str = "able/other"
    vectors: str = "able/vectors"
    wire: str = "here"

    @property
    def environ(self) -> dict[str, str]:
        """The same for a script in a process of its own."""
        where = {"SIZEWISE_URL": self.url, "SIZEWISE_KEY": self.key}
        return {**where, **QUIET, "MODEL": self.model, "VECTORS": self.vectors}


@pytest.fixture(scope="session")
def back(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("back"), BACK) as served:
        yield served


@pytest.fixture(scope="session", params=["here", *WIRES])
def able(request: pytest.FixtureRequest, back: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Able]:
    """The echo in the server itself, and then behind each wire in turn: any client in front of any of them."""
    wire = request.param
    if wire == "here":
        yield Able(back.url, back.key)
        return
    config = FRONT.format(wire=wire, url=back.url)
    with serving(tmp_path_factory.mktemp(wire), config, FAR_KEY=back.key) as served:
        yield Able(served.url, served.key, "far/able/model", "far/able/other", "near/able/vectors", wire)


def pytest_configure(config: pytest.Config) -> None:
    """What one of LangChain's tests wants before it skips itself, without the plugins that bring it."""
    for name in ("benchmark", "vcr"):
        config.addinivalue_line("markers", f"{name}: of a plugin that is left out")


@pytest.fixture
def benchmark() -> None:
    """Of a plugin that is left out."""


@pytest.fixture
def vcr() -> None:
    """Of a plugin that is left out."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in QUIET.items():
        monkeypatch.setenv(name, value)


def _here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@pytest.fixture(scope="session", autouse=True)
def nobody_is_called() -> Iterator[None]:
    """Fails the room if anything in this process reached for an address that is not this machine's own."""
    strangers: list[object] = []
    watching = True

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        address = arguments[1] if event == "socket.connect" else None
        if watching and isinstance(address, tuple) and not _here(address[0]):
            strangers.append(address)

    sys.addaudithook(hear)
    yield
    watching = False
    assert strangers == []
