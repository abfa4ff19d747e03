"""Settings of the code sandbox and of MCP servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.settings.guardrails import tool_pattern
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import auth, header, name, reference, url


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Code of flows and agents, in processes without files, network and environment. What is set here holds from the
    next start.
    """

    enabled: bool = setting(True, "Run such code at all.")
    require_isolation: bool = setting(
        True,
        "Run it only where the kernel takes files and network from its process: Linux 5.13, x86-64 or ARM64.",
    )
    timeout_s: float = setting(5.0, "Seconds that one run may take.", minimum=0.05, maximum=300)
    max_memory_bytes: int = setting(
        128_000_000,
        "Bytes that one run may take.",
        minimum=8_000_000,
        maximum=4_000_000_000,
    )
    max_concurrent: int = setting(2, "Runs at the same time; others wait.", minimum=1, maximum=64)


@dataclass(frozen=True, slots=True)
class McpServerSettings:
    """A server of the Model Context Protocol whose tools may be called: at a URL, or a program of this machine.

    Its tools are taken as they are when they are first seen. One that changes its name, words or schema after that is
    not called until `approved_hashes` names its new hash: a server could promise one thing and do another.
    """

    url: str = setting("", "Where it answers (streamable HTTP), as 'https://host/mcp'.", validator=url)
    command: tuple[str, ...] = setting((), "Or the program and its arguments, which then runs as long as we do.")
    place: Place = setting("anyone", "Where it runs. Declared by you; data must be allowed to reach it.")
    key: str = setting("", "By reference, `env:NAME` or `file:PATH`.", validator=reference, secret=True)
    auth: str = setting("bearer", "How the key is sent: bearer, or the name of a header.", validator=auth)
    headers: Mapping[str, str] = setting(MappingProxyType({}), "More headers.", validator=header)
    env: Mapping[str, str] = setting(
        MappingProxyType({}),
        "The program's environment, values by reference; it has no other.",
        validator=reference,
    )
    allowed_tools: tuple[str, ...] = setting(
        (),
        "Its tools that may be called, or beginnings with a *; empty: all.",
        validator=tool_pattern,
    )
    require_approval: tuple[str, ...] = setting(
        ("*",),
        "Those of which a person is asked before each call by an agent.",
        validator=tool_pattern,
    )
    approved_hashes: tuple[str, ...] = setting(
        (),
        "Hashes of tools, as `sha256:...`, that were approved after a change.",
    )
    organizations: tuple[str, ...] = setting(("local",), "Organizations that may use it.", validator=name)
    projects: tuple[str, ...] = setting((), "Projects of theirs that may; empty: all.", validator=name)
    timeout_s: float = setting(30.0, "Seconds that one call may take.", minimum=0.1, maximum=3_600)
    max_result_chars: int = setting(
        65_536,
        "Characters of one result; the rest is cut.",
        minimum=100,
        maximum=10_000_000,
    )
