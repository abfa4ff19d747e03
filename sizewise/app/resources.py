"""What lives as long as the process, while Houses come and go: a bag of them, which does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from sizewise.app.services import Keeper
from sizewise.cache.idempotency import Calls
from sizewise.evals.shadow_traffic import Shadows
from sizewise.flows.file_source import Folder
from sizewise.knowledge.open_stores import Shelves
from sizewise.providers.local.models import Locals
from sizewise.routing.session_store import Sessions
from sizewise.telemetry.metrics import Metrics
from sizewise.telemetry.webhooks import Hooks
from sizewise.tools.mcp.client import Servers
from sizewise.tools.mcp.pinning import Unkept
from sizewise.tools.sandbox.process_pool import Sandbox


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
