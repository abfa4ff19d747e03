"""What lives as long as the process, while Houses come and go: a bag of them, which does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from sizewise.cache.idempotent import Calls
from sizewise.evals.shadow import Shadows
from sizewise.flows.folder import Folder
from sizewise.keeper import Keeper
from sizewise.knowledge.shelves import Shelves
from sizewise.providers.local import Locals
from sizewise.routing.sessions import Sessions
from sizewise.telemetry.metrics import Metrics
from sizewise.tools.mcp import Servers
from sizewise.tools.pins import Unkept
from sizewise.tools.sandbox import Sandbox
from sizewise.webhooks import Hooks


@dataclass(frozen=True, slots=True)
class Means:
    keeper: Keeper
    metrics: Metrics
    locals: Locals
    shadows: Shadows
    hooks: Hooks = field(default_factory=Hooks)
    sessions: Sessions = field(default_factory=Sessions)
    calls: Calls = field(default_factory=dict)
    shelves: Shelves = field(default_factory=Shelves)
    sandbox: Sandbox = field(default_factory=Sandbox)
    servers: Servers = field(default_factory=lambda: Servers(Unkept()))
    folder: Folder | None = None
