"""Resources that live as long as the process and outlast a settings reload."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from sizewise.app.eval_jobs import EvalJobs
from sizewise.app.process_role import ALONE, ProcessRole
from sizewise.app.services import Services
from sizewise.app.tuning_jobs import TuningJobs
from sizewise.auth.authenticator import Authenticator
from sizewise.cache.cache_epoch import CacheEpoch
from sizewise.cache.idempotency import CallsInFlight
from sizewise.cache.shared_answers import SharedAnswers
from sizewise.catalog.catalog_update import UpdateParser
from sizewise.catalog.machine_speed import MachineSpeedOnce
from sizewise.evals.shadow_traffic import ShadowComparisons
from sizewise.file_search.attachment_worker import AttachmentWorker
from sizewise.flows.executor import CompiledFlows, FlowStore
from sizewise.flows.file_source import FlowFolderWatcher
from sizewise.http.client import HttpClient
from sizewise.jobs.periodic_tasks import PeriodicTasks
from sizewise.knowledge.embedding_retry import EmbeddingRetries
from sizewise.knowledge.load import DocumentProcesses
from sizewise.knowledge.open_stores import OpenStores
from sizewise.limits.request_body import BodyMemory
from sizewise.offload.offload import Offload
from sizewise.prompts.prompt_library import PromptLibrary, empty_library
from sizewise.providers.concurrency_limiter import FairQueue, NewQueue
from sizewise.providers.connections import ModelConnections, ModelGauges
from sizewise.providers.local.models import LocalModels
from sizewise.routing.pace import ModelPaces
from sizewise.routing.session_store import SessionStore
from sizewise.telemetry.metrics import Metrics
from sizewise.tools.mcp.client import McpServers
from sizewise.tools.mcp.pinning import MemoryPinStore
from sizewise.tools.sandbox.process_pool import Sandbox

MergeMetrics = Callable[[ModelGauges], Awaitable[tuple[Metrics, ModelGauges]]]
"""Own gauges -> metrics and gauges of all processes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseParts:
    """What the application of a release has in place of what is published, and what it shares with the live one.
    `connected`: the client and the connections to models; None if its models differ. `embedding_models`: those that it
    pins, by knowledge base.
    """

    flows: FlowStore
    compiled: CompiledFlows
    connected: tuple[HttpClient, ModelConnections] | None
    embedding_models: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    services: Services
    metrics: Metrics
    local_models: LocalModels
    shadow_tasks: ShadowComparisons
    routing_sessions: SessionStore = field(default_factory=SessionStore)
    calls_in_flight: CallsInFlight = field(default_factory=dict)
    body_memory: BodyMemory = field(default_factory=BodyMemory)
    embedding_retries: EmbeddingRetries = field(default_factory=EmbeddingRetries)
    file_attachments: AttachmentWorker = field(default_factory=AttachmentWorker)
    vector_stores: OpenStores = field(default_factory=OpenStores)
    catalog_updates: UpdateParser = field(default_factory=UpdateParser)
    machine_speed: MachineSpeedOnce = field(default_factory=MachineSpeedOnce)
    sandbox: Sandbox = field(default_factory=Sandbox)
    mcp_servers: McpServers = field(default_factory=lambda: McpServers(MemoryPinStore()))
    offload: Offload = field(default_factory=Offload)
    document_processes: DocumentProcesses = field(default_factory=DocumentProcesses)
    flow_files: FlowFolderWatcher | None = None
    prompts: PromptLibrary = field(default_factory=empty_library)
    release: ReleaseParts | None = None  # None: what is published answers
    eval_jobs: EvalJobs = field(default_factory=lambda: EvalJobs(None, Authenticator()))
    tuning_jobs: TuningJobs | None = None  # None: no server, so nobody starts a training
    role: ProcessRole = ALONE
    new_queue: NewQueue = FairQueue  # of a model with slots
    sibling_problems: Callable[[], list[str]] = list  # of other processes of this server
    merge_metrics: MergeMetrics | None = None  # with those of the other processes of this server
    periodic_tasks: PeriodicTasks = field(default_factory=PeriodicTasks)
    started_at: float = field(default_factory=time.time)  # Unix seconds

    @property
    def cache_epoch(self) -> CacheEpoch:
        return self.services.cache_epoch

    @property
    def caches(self) -> tuple[CacheEpoch, SharedAnswers | None]:
        """What the response caches of all applications share."""
        return self.services.cache_epoch, self.services.shared_answers

    @property
    def model_paces(self) -> ModelPaces:
        return self.services.measured_paces.paces
