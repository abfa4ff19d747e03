"""What models and flows may call, where their code runs, and how far an agent goes; knows no tool."""
# ruff: noqa: RUF009 - `setting` makes a field, it is not a default computed once by mistake

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sizewise.data_class import Place
from sizewise.settings.guardrails import tool
from sizewise.settings.toml_reader import setting
from sizewise.settings.validators import auth, header, name, reference, url


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Code of flows and agents, in processes without files, network and environment. What is set here holds from the
    next start."""

    enabled: bool = setting(True, "Run such code at all.")
    require_isolation: bool = setting(
        True, "Run it only where the kernel takes files and network from its process: Linux 5.13, x86-64 or ARM64."
    )
    timeout_s: float = setting(5.0, "Seconds that one run may take.", least=0.05, most=300)
    max_memory_bytes: int = setting(128_000_000, "Bytes that one run may take.", least=8_000_000, most=4_000_000_000)
    max_concurrent: int = setting(2, "Runs at the same time; others wait.", least=1, most=64)


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server of the Model Context Protocol whose tools may be called: at a URL, or a program of this machine.

    Its tools are taken as they are when they are first seen. One that changes its name, words or schema after that is
    not called until `approved_hashes` names its new hash: a server could promise one thing and do another.
    """

    url: str = setting("", "Where it answers (streamable HTTP), as 'https://host/mcp'.", check=url)
    command: tuple[str, ...] = setting((), "Or the program and its arguments, which then runs as long as we do.")
    place: Place = setting("anyone", "Where it runs. Declared by you; data must be allowed to reach it.")
    key: str = setting("", "By reference, `env:NAME` or `file:PATH`.", check=reference, hidden=True)
    auth: str = setting("bearer", "How the key is sent: bearer, or the name of a header.", check=auth)
    headers: Mapping[str, str] = setting(MappingProxyType({}), "More headers.", check=header)
    env: Mapping[str, str] = setting(
        MappingProxyType({}), "The program's environment, values by reference; it has no other.", check=reference
    )
    allowed_tools: tuple[str, ...] = setting(
        (), "Its tools that may be called, or beginnings with a *; empty: all.", check=tool
    )
    require_approval: tuple[str, ...] = setting(
        ("*",), "Those of which a person is asked before each call by an agent.", check=tool
    )
    approved_hashes: tuple[str, ...] = setting(
        (), "Hashes of tools, as `sha256:...`, that were approved after a change."
    )
    organizations: tuple[str, ...] = setting(("local",), "Organizations that may use it.", check=name)
    projects: tuple[str, ...] = setting((), "Projects of theirs that may; empty: all.", check=name)
    timeout_s: float = setting(30.0, "Seconds that one call may take.", least=0.1, most=3_600)
    max_result_chars: int = setting(65_536, "Characters of one result; the rest is cut.", least=100, most=10_000_000)
