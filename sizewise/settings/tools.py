"""Settings of the code sandbox and of MCP servers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.settings.guardrails import tool_pattern
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import approver, auth, header, name, reference, url


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The sandbox for code of flows and agents: processes without files, network or environment. Changes need a
    restart.
    """

    enabled: bool = setting(True, "Run such code at all.")
    require_isolation: bool = setting(
        True,
        "Require kernel isolation from files and network: Linux 5.13, x86-64 or ARM64.",
    )
    timeout_s: float = setting(5.0, "Timeout of one run in seconds.", minimum=0.05, maximum=300)
    max_memory_bytes: int = setting(
        128_000_000,
        "Memory limit of one run in bytes.",
        minimum=8_000_000,
        maximum=4_000_000_000,
    )
    max_concurrent: int = setting(2, "Concurrent runs; more have to wait.", minimum=1, maximum=64)


@dataclass(frozen=True, slots=True)
class McpServerSettings:
    """An MCP server (Model Context Protocol) whose tools may be called: a URL, or a program on this machine.

    The definitions of its tools are pinned when first seen. A tool whose name, description or schema changes is blocked
    until its new hash is in `approved_hashes`, so that a server cannot swap a tool after you have reviewed it.
    """

    url: str = setting("", "Server URL (streamable HTTP), as 'https://host/mcp'.", validator=url)
    command: tuple[str, ...] = setting(
        (), "Or the program to start, with its arguments. It runs as long as the server."
    )
    place: Place = setting("anyone", "Where it runs. You declare it; egress must allow the data class there.")
    key: str = setting(
        "", "API key by reference, `env:NAME`, `file:PATH` or `exec:COMMAND`.", validator=reference, secret=True
    )
    auth: str = setting("bearer", "How the key is sent: `bearer`, or the name of a header.", validator=auth)
    headers: Mapping[str, str] = setting(MappingProxyType({}), "Additional request headers.", validator=header)
    env: Mapping[str, str] = setting(
        MappingProxyType({}),
        "Environment of the program, values by reference. It inherits none.",
        validator=reference,
    )
    allowed_tools: tuple[str, ...] = setting(
        (),
        "Tools that may be called, by name or as a prefix with a *; empty: all.",
        validator=tool_pattern,
    )
    require_approval: tuple[str, ...] = setting(
        ("*",),
        "Tools that need approval before each call by an agent.",
        validator=tool_pattern,
    )
    approvers: tuple[str, ...] = setting(
        (),
        "Who can approve these calls, as `user:EMAIL`, `role:NAME` or `key:ID`; empty: all with the permission "
        "`approve`.",
        validator=approver,
    )
    approved_hashes: tuple[str, ...] = setting(
        (),
        "Hashes of changed tools that you have approved, as `sha256:...`.",
    )
    organizations: tuple[str, ...] = setting(("local",), "Organizations that may use it.", validator=name)
    projects: tuple[str, ...] = setting((), "Their projects that may use it; empty: all.", validator=name)
    timeout_s: float = setting(30.0, "Timeout of one call in seconds.", minimum=0.1, maximum=3_600)
    max_result_chars: int = setting(
        65_536,
        "Maximum characters of one result; the rest is cut.",
        minimum=100,
        maximum=10_000_000,
    )
