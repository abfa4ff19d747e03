"""Services of one server process: opens them over a home directory, as one record; each does its own work.

It outlives applications: a settings reload reopens nothing.
"""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType

from sizewise.agents import tables as agent_tables
from sizewise.agents.memory import AgentMemory
from sizewise.alerts import tables as alert_tables
from sizewise.alerts.evaluator import AlertEvaluator
from sizewise.alerts.rules import build_rules
from sizewise.alerts.silences import Silences
from sizewise.app.alert_metrics import alert_metrics
from sizewise.app.erasure import OTHER_SERVERS_S, Erasure
from sizewise.app.model_uses import ModelUses
from sizewise.app.pace_store import PaceStore
from sizewise.app.process_role import ALONE, ProcessRole
from sizewise.audit_log import tables as audit_tables
from sizewise.audit_log.audit_log import AuditLog
from sizewise.auth import tables as auth_tables
from sizewise.auth.account_erasure import AccountErasure
from sizewise.auth.api_keys import ApiKeys
from sizewise.auth.authenticator import Authenticator, load_or_create_admin_token
from sizewise.auth.denied_audit import DeniedRequestLog
from sizewise.auth.oidc_logout import BackChannelLogout
from sizewise.auth.permissions import merge_roles
from sizewise.auth.second_factor import SecondFactors, second_factor_rule
from sizewise.auth.sign_in_links import SignInLinks
from sizewise.auth.sign_in_sessions import SessionCleanupJob, Sessions
from sizewise.auth.user_accounts import UserAccounts
from sizewise.auth.users import factor_tables
from sizewise.batches import tables as batch_tables
from sizewise.batches.batch_queue import BatchQueue
from sizewise.batches.batch_store import BatchStore
from sizewise.batches.tables import BatchRetention
from sizewise.cache import background_tables, shared_answer_tables, stored_response_tables
from sizewise.cache import tables as cache_tables
from sizewise.cache.background_responses import BackgroundResponses
from sizewise.cache.background_store import BackgroundStore
from sizewise.cache.cache_epoch import CacheEpoch
from sizewise.cache.idempotency_store import IdempotencyStore
from sizewise.cache.shared_answers import SharedAnswers
from sizewise.cache.stored_responses import StoredResponses
from sizewise.catalog.self_tests import read_self_tests
from sizewise.decisions import tables as decision_tables
from sizewise.decisions.decision_store import DecisionStore
from sizewise.errors import StorageError
from sizewise.evals import tables as eval_tables
from sizewise.evals.annotation import tables as annotation_tables
from sizewise.evals.annotation.queue_feed import QueueFeed
from sizewise.evals.annotation.queue_store import AnnotationQueues
from sizewise.evals.hosted import tables as hosted_eval_tables
from sizewise.evals.hosted.eval_store import HostedEvalStore
from sizewise.evals.hosted.run_queries import HostedEvalRetention
from sizewise.evals.hosted.run_queue import EvalRunQueue
from sizewise.evals.quality_monitor import QualityMonitor
from sizewise.evals.scores import tables as score_tables
from sizewise.evals.scores.score_store import ScoreStore
from sizewise.file_search import tables as file_search_tables
from sizewise.file_search.store_records import StoreRecords
from sizewise.files import tables as file_tables
from sizewise.files.file_store import FileStore
from sizewise.flows import tables as flow_tables
from sizewise.flows.drafts import tables as draft_tables
from sizewise.flows.drafts.store import FlowDrafts
from sizewise.flows.engine import Engine, Runner
from sizewise.flows.engines import tables as engine_tables
from sizewise.flows.engines.dbos import DbosEngine, is_installed
from sizewise.flows.engines.inline import InlineEngine
from sizewise.flows.engines.worker_registry import WorkerRegistry
from sizewise.flows.executor import CompiledFlows
from sizewise.flows.run_limits import RunLimits
from sizewise.flows.run_service import RunService
from sizewise.flows.scheduler import Scheduler, WebhookTriggers
from sizewise.flows.step_store import StepStore
from sizewise.flows.versions import tables as flow_version_tables
from sizewise.flows.versions.store import FlowVersions
from sizewise.http.client import HttpClient
from sizewise.knowledge import tables as knowledge_tables
from sizewise.knowledge.document_store import DocumentStore
from sizewise.limits import tables as limit_tables
from sizewise.limits.rate_limiter import Limiter
from sizewise.limits.window_clock import WindowClock
from sizewise.notifications import tables as outbox_tables
from sizewise.notifications.delivery import Deliveries
from sizewise.notifications.outbox import Outbox
from sizewise.notifications.receivers import build_receivers
from sizewise.releases import tables as release_tables
from sizewise.releases.canary import tables as canary_tables
from sizewise.releases.canary.evaluator import CanaryEvaluator
from sizewise.releases.edges import tables as edge_release_tables
from sizewise.releases.edges.fleet import EdgeFleet
from sizewise.releases.edges.release_offers import ReleaseOffers
from sizewise.releases.environments import tables as environment_tables
from sizewise.releases.environments.commit_plans import CommitPlans
from sizewise.releases.environments.environment_store import EnvironmentStore
from sizewise.releases.environments.plan_store import PlanStore
from sizewise.releases.git_mirror import GitMirror
from sizewise.releases.git_publisher import GitPublisher
from sizewise.releases.git_remote import remote_of
from sizewise.releases.git_sync import GitSync
from sizewise.releases.release_store import ReleaseStore
from sizewise.releases.retention import delete_unneeded_releases
from sizewise.routing.model_aliases import RoutePlan
from sizewise.settings.load import Settings
from sizewise.settings.root import FileSettings
from sizewise.storage import leader_lease
from sizewise.storage.backup.staged_restore import finish_restore
from sizewise.storage.batch_writer import BatchWriter, MaintenanceTask
from sizewise.storage.database import AsyncTransactionRunner, Database, TransactionRunner, open_database, sqlite_url
from sizewise.storage.encryption import HEADER_BYTES, EnvelopeEncryption
from sizewise.storage.erasure import PersonalTable
from sizewise.storage.home_lock import locked_home
from sizewise.storage.key_rotation import KeyRotation
from sizewise.storage.keys import tables as key_tables
from sizewise.storage.keys.tables import DataKeyStore
from sizewise.storage.leader_lease import Leadership, count_process
from sizewise.storage.reencryption import ReencryptionJob
from sizewise.storage.retention import Retention, RetentionJob
from sizewise.telemetry import (
    end_user_tables,
    otlp_tables,
    pace_tables,
    payload_tables,
    span_tables,
    stored_sizes,
    usage_tables,
)
from sizewise.telemetry import tables as telemetry_tables
from sizewise.telemetry.day_partitions import prepare_days
from sizewise.telemetry.edges import tables as edge_tables
from sizewise.telemetry.edges.edge_store import EdgeStore
from sizewise.telemetry.edges.machine_reports import MachineReports
from sizewise.telemetry.end_users import EndUserHashes
from sizewise.telemetry.otlp_exporter import OtlpExporter
from sizewise.telemetry.payload_log import PayloadLog
from sizewise.telemetry.record_ids import shared_process
from sizewise.telemetry.record_retention import RecordRetention
from sizewise.telemetry.record_store import RecordStore
from sizewise.telemetry.size_limit import RecordsSizeLimit
from sizewise.telemetry.span_tables import SPANS
from sizewise.telemetry.spans import SpanRecorder
from sizewise.telemetry.tables import ATTEMPTS, ENDED_CALLS, RECORDS
from sizewise.telemetry.usage_rollup import UsageRollups, keep_usage, keep_usage_between
from sizewise.tools import tables as tool_tables
from sizewise.tools.mcp.pinning import DatabasePinStore
from sizewise.widgets import tables as widget_tables
from sizewise.widgets.widget_store import WidgetStore

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ENCRYPTION_THREADS = 4
"""A slow key management service delays only encryption and decryption."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """One per home. `open_services` opens the services, `close` closes them in reverse order."""

    admin_token: str
    api_keys: ApiKeys
    users: UserAccounts
    sessions: Sessions
    second_factors: SecondFactors
    oidc_logout: BackChannelLogout
    sign_in_links: SignInLinks
    denied_requests: DeniedRequestLog
    leadership: Leadership
    retention: Retention
    limiter: Limiter
    audit_log: AuditLog
    records: RecordStore
    edges: EdgeStore
    edge_fleet: EdgeFleet
    machine_reports: MachineReports
    payload_log: PayloadLog
    end_users: EndUserHashes
    spans: SpanRecorder
    otlp: OtlpExporter
    outbox: Outbox
    deliveries: Deliveries
    usage_rollups: UsageRollups
    alerts: AlertEvaluator
    silences: Silences
    model_uses: ModelUses
    size_limit: RecordsSizeLimit
    quality_monitor: QualityMonitor
    scores: ScoreStore
    decisions: DecisionStore
    annotation: AnnotationQueues
    annotation_feed: QueueFeed
    measured_paces: PaceStore
    stored_responses: StoredResponses
    files: FileStore
    background: BackgroundResponses
    eval_runs: EvalRunQueue
    batches: BatchQueue
    idempotency: IdempotencyStore
    cache_epoch: CacheEpoch
    shared_answers: SharedAnswers | None  # None: no other server uses the database
    erasure: Erasure
    documents: DocumentStore
    vector_stores: StoreRecords
    memories: AgentMemory
    tool_pins: DatabasePinStore
    releases: ReleaseStore
    environments: EnvironmentStore
    release_plans: PlanStore
    release_offers: ReleaseOffers
    widgets: WidgetStore
    git_sync: GitSync
    git_publisher: GitPublisher
    canaries: CanaryEvaluator
    flow_versions: FlowVersions
    flow_drafts: FlowDrafts
    compiled_flows: CompiledFlows
    runs: RunService
    webhook_triggers: WebhookTriggers
    scheduler: Scheduler
    key_rotation: KeyRotation
    storage: Storage
    closing: ExitStack

    @property
    def problem(self) -> str:
        """What is impaired, such as `cannot write records: ...`; empty if nothing is."""
        found = (self.records.problem, self.key_rotation.problem, self.payload_log.problem)
        return "; ".join(filter(None, found))

    def prepare(
        self, settings: Settings, client: HttpClient, plans: Mapping[str, RoutePlan]
    ) -> Sequence[Callable[[], None]]:
        """Checks settings of sign-in, roles, limits and alerts; returns the changes that apply them. Raises
        ConfigError.
        """
        metrics = alert_metrics(
            settings, self.quality_monitor, self.limiter, self.storage.database, self.model_uses, plans
        )
        roles = merge_roles({name: role.permissions for name, role in settings.roles.items()})
        return (
            self.users.relying_party.prepare(settings.oidc, client, roles),
            self.api_keys.authenticator.prepare(
                roles,
                settings.login_sessions.idle_timeout_s,
                settings.projects,
                second_factor_rule(settings.sign_in, roles),
            ),
            self.limiter.prepare(settings.limits, settings.budgets),
            self.otlp.prepare(settings.otlp, client),
            self.machine_reports.prepare(settings.edge, client),
            self.outbox.prepare(settings.webhooks),
            self.alerts.prepare(build_rules(settings), metrics),
            self.annotation.prepare(settings.annotation),
            self.deliveries.prepare(build_receivers(settings, client)),
        )

    def close(self) -> None:
        """Writes queued rows, then unlocks the home."""
        self.closing.close()

    def __enter__(self) -> Services:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """The database and encryption that the services share. `executor`: for encryption."""

    database: Database
    writer: BatchWriter
    keys: DataKeyStore
    encryption: EnvelopeEncryption
    executor: Executor


def open_services(
    home: Path,
    settings: Settings | None = None,
    *,
    url: str = "",
    role: ProcessRole = ALONE,
) -> Services:
    """Locks the home, migrates the database and opens everything; or leaves nothing open.

    `url`: a database shared with other servers; empty: the file in `home`. `role`: with siblings, the caller holds the
    lock of the home. Raises ExternalFailure (home in use or not writable), StorageError (database damaged or of a newer
    release), ConfigError (URL, token file).
    """
    settings = settings or Settings()
    shared = bool(url) or role.has_siblings
    with ExitStack() as opened:
        if not role.has_siblings:
            opened.enter_context(locked_home(home))
        if role.owns_store:
            finish_restore(home)
        admin_token = load_or_create_admin_token(home)
        authenticator, denied_requests = Authenticator(admin_token), DeniedRequestLog()
        chores: list[MaintenanceTask] = [
            SessionCleanupJob(authenticator, settings.records.retention_days),
            denied_requests,
        ]
        storage = _open_storage(opened, home, settings, url, chores)
        read, executor = storage.database.read_transaction, storage.executor
        encryption, writer = storage.encryption, storage.writer
        write, write_sync = writer.run_transaction, writer.run_transaction_sync
        leadership = Leadership(f"{platform.node()}:{os.getpid()}:{secrets.token_hex(4)}", write, shared=bool(url))

        reencryption = ReencryptionJob(
            encryption=encryption, keys=storage.keys, tables=ENCRYPTED_TABLES, read=read, write=write_sync
        )
        opened.callback(reencryption.close)
        key_rotation = KeyRotation(encryption, reencryption, storage.database, executor)
        key_rotation.probe()
        payload_log = PayloadLog(encryption, write_sync, settings.records.contents_row_bytes)
        opened.callback(payload_log.close)
        hashes = EndUserHashes(encryption, read, write_sync, executor)
        records = RecordStore(
            read=read,
            writer=writer,
            payload_log=payload_log,
            executor=executor,
            delete_feedback=lambda tenant, key: partial(score_tables.erase_judgements, tenant=tenant, key=key),
            process=shared_process(write_sync(count_process)) if url else role.number,
        )
        releases = ReleaseStore(encryption, read, write_sync, executor)
        environments, release_plans = EnvironmentStore(read, write), PlanStore(read, write)
        mirror, git_owner = (
            GitMirror(home / "git", remote_of(settings)),
            partial(authenticator.authenticate, admin_token),
        )
        limits, outbox = read(limit_tables.read_snapshot), Outbox()
        limiter = Limiter(
            limits,
            storage.database.read_in_thread,
            write,
            shared=shared,
            publish_event=outbox.publish,
            clock=WindowClock(read(limit_tables.read_clock)),
        )
        steps = StepStore(encryption, read, write_sync, executor)
        versions = FlowVersions(steps)
        compiled_flows = CompiledFlows(versions)
        runs = RunService(
            store=steps,
            authenticator=authenticator,
            versions=versions,
            build_engine=partial(_build_engine, home=home, url=url, workers=WorkerRegistry(read, write_sync)),
            count_request=limiter.count_request,
            limits=RunLimits(settings.flows),
            store_is_shared=bool(url),
            publish_event=outbox.publish,
        )
        stored_responses = StoredResponses(
            encryption=encryption,
            read=read,
            writer=writer,
            executor=executor,
            retention_ms=settings.stored_responses.retention_days * DAY_MS,
        )
        unfinished = BackgroundStore(
            encryption=encryption, read=read, writer=writer, executor=executor, responses=stored_responses
        )
        annotation = AnnotationQueues(
            encryption=encryption, payload_log=payload_log, read=read, write=write, executor=executor
        )
        users, cache_epoch = UserAccounts(read, write, authenticator), CacheEpoch()
        shared_answers = None
        if url:
            shared_answers = SharedAnswers(
                encryption=encryption,
                database=storage.database,
                hashes=hashes,
                epoch=cache_epoch,
                stores=settings.response_cache.shared_max_bytes > 0,
            )
            opened.callback(shared_answers.close)
        erasure = Erasure(
            database=storage.database,
            writer=writer,
            records=records,
            tables=PERSONAL_TABLES,
            runs=runs.erasure,
            users=users,
            accounts=AccountErasure(read, write, authenticator),
            cache_epoch=cache_epoch,
            shared_answers=shared_answers,
            pause_s=OTHER_SERVERS_S + settings.records.flush_ms / 1_000 if url else 0.0,
        )
        api_keys = ApiKeys(read, write, write_sync, authenticator, shared=shared, publish_event=outbox.publish)
        return Services(
            admin_token=admin_token,
            api_keys=api_keys,
            users=users,
            sessions=Sessions(write, authenticator),
            oidc_logout=BackChannelLogout(write, authenticator, users.relying_party),
            second_factors=SecondFactors(encryption, read, write, authenticator),
            sign_in_links=SignInLinks(write, write_sync, authenticator),
            denied_requests=denied_requests,
            leadership=leadership,
            retention=Retention(_retention_jobs(settings), leadership),
            limiter=limiter,
            audit_log=AuditLog(read, writer),
            records=records,
            edges=EdgeStore(write, records.ids),
            edge_fleet=EdgeFleet(read),
            machine_reports=MachineReports(read, leadership.write),
            payload_log=payload_log,
            end_users=hashes,
            spans=SpanRecorder(writer.enqueue, records.ids),
            otlp=OtlpExporter(read, leadership.write),
            outbox=outbox,
            deliveries=Deliveries(outbox, read, write, shared=bool(url)),
            alerts=AlertEvaluator(outbox, read, leadership.write),
            silences=Silences(read, write),
            model_uses=ModelUses(versions),
            quality_monitor=QualityMonitor(read, write, outbox.publish),
            decisions=DecisionStore(
                encryption=encryption,
                read=read,
                write=write,
                executor=executor,
                epoch=lambda: cache_epoch.number,
                hash_end_user=hashes.hash,
            ),
            scores=ScoreStore(
                encryption=encryption,
                read=read,
                write=write,
                executor=executor,
                flush_records=records.flush_if_healthy,
            ),
            usage_rollups=UsageRollups(read, leadership.write, settings.records),
            size_limit=_size_limit(read, leadership.write, settings.records.max_bytes),
            annotation=annotation,
            annotation_feed=QueueFeed(queues=annotation, encryption=encryption, read=read, leadership=leadership),
            measured_paces=PaceStore(read, write, shared=bool(url), tested=read_self_tests(home)),
            stored_responses=stored_responses,
            background=BackgroundResponses(
                unfinished,
                max_unfinished=settings.stored_responses.max_background,
                max_running=settings.stored_responses.max_background_running,
                shared=bool(url),
            ),
            eval_runs=EvalRunQueue(
                HostedEvalStore(
                    encryption=encryption,
                    read=read,
                    write=write_sync,
                    executor=executor,
                    settings=settings.evals,
                ),
                max_running=settings.evals.max_running,
                shared=bool(url),
            ),
            batches=BatchQueue(
                BatchStore(
                    encryption=encryption,
                    read=read,
                    write=write_sync,
                    executor=executor,
                    settings=settings.batches,
                ),
                shared=bool(url),
            ),
            files=FileStore(
                encryption=encryption,
                database=storage.database,
                writer=writer,
                executor=executor,
                settings=settings.files,
            ),
            idempotency=IdempotencyStore(
                encryption=encryption,
                writer=writer,
                executor=executor,
                retention_ms=settings.idempotency.retention_hours * HOUR_MS,
            ),
            cache_epoch=cache_epoch,
            shared_answers=shared_answers,
            erasure=erasure,
            documents=DocumentStore(encryption, read, write_sync, executor),
            vector_stores=StoreRecords(encryption, read, write_sync, executor),
            memories=AgentMemory(
                encryption=encryption,
                read=read,
                write=write,
                executor=executor,
                max_memories=settings.memory.max_per_user,
            ),
            tool_pins=DatabasePinStore(read, write),
            releases=releases,
            environments=environments,
            release_plans=release_plans,
            release_offers=ReleaseOffers(
                encryption=encryption,
                read=read,
                write=write_sync,
                executor=executor,
                releases=releases,
                environments=environments,
            ),
            git_sync=GitSync(
                settings,
                mirror,
                releases,
                principal=git_owner,
                plan=CommitPlans(settings.environments, environments, release_plans).create,
            ),
            git_publisher=GitPublisher(settings, mirror, git_owner, write),
            widgets=WidgetStore(read, write, api_keys, limiter),
            canaries=CanaryEvaluator(storage.database.read_in_thread, leadership.write),
            flow_versions=versions,
            flow_drafts=FlowDrafts(steps),
            compiled_flows=compiled_flows,
            runs=runs,
            webhook_triggers=WebhookTriggers(versions, compiled_flows, runs.starter),
            scheduler=Scheduler(versions, compiled_flows, runs.starter),
            key_rotation=key_rotation,
            storage=storage,
            closing=opened.pop_all(),
        )


COMPONENTS = (
    *(
        auth_tables,
        audit_tables,
        limit_tables,
        telemetry_tables,
        key_tables,
        stored_response_tables,
        background_tables,
        cache_tables,
        shared_answer_tables,
        payload_tables,
        end_user_tables,
        span_tables,
        otlp_tables,
        usage_tables,
        stored_sizes,
        pace_tables,
        edge_tables,
        eval_tables,
        score_tables,
        decision_tables,
        annotation_tables,
        tool_tables,
        agent_tables,
        file_tables,
        hosted_eval_tables,
        batch_tables,
        leader_lease,
        outbox_tables,
        alert_tables,
        widget_tables,
    ),
    draft_tables,
    *(flow_version_tables, flow_tables, engine_tables, knowledge_tables, file_search_tables),
    *(release_tables, environment_tables, canary_tables, edge_release_tables),
)
"""Every package's tables, in the order in which they are migrated."""
ENCRYPTED_TABLES = (
    *(stored_response_tables.SEALED, background_tables.SEALED, cache_tables.SEALED, payload_tables.SEALED),
    shared_answer_tables.SEALED,
    *(factor_tables.SEALED, draft_tables.SEALED),
    *(flow_version_tables.SEALED, *flow_tables.SEALED, *knowledge_tables.SEALED, agent_tables.SEALED),
    *(end_user_tables.SEALED, score_tables.SEALED, annotation_tables.SEALED),
    *(*file_tables.SEALED, *file_search_tables.SEALED, *hosted_eval_tables.SEALED),
    *batch_tables.SEALED,
    *(release_tables.SEALED, edge_release_tables.SEALED),
    *decision_tables.SEALED,
)

PERSONAL_TABLES: Sequence[PersonalTable] = (
    *(span_tables.PERSONAL, payload_tables.PERSONAL, eval_tables.personal_ratings(RECORDS.c.trace)),
    *(score_tables.PERSONAL, *annotation_tables.PERSONAL),
    replace(telemetry_tables.PERSONAL, before_delete=keep_usage),  # after those that are found by it
    *(stored_response_tables.PERSONAL, background_tables.PERSONAL, cache_tables.PERSONAL, agent_tables.PERSONAL),
    draft_tables.PERSONAL,
    *(file_tables.PERSONAL, *usage_tables.PERSONAL, *hosted_eval_tables.PERSONAL),
    batch_tables.PERSONAL,
    decision_tables.PERSONAL,
)
"""Tables with personal data, except accounts and flow runs: erasing those takes more than deleting rows."""


def _open_storage(
    opened: ExitStack,
    home: Path,
    settings: FileSettings,
    url: str,
    chores: Sequence[MaintenanceTask],
) -> Storage:
    database = _open_database(home, url)
    opened.callback(database.close)
    read = database.read_transaction
    writer = BatchWriter(
        database,
        {
            **{table.name: database.insert_statement(table) for table in (RECORDS, ATTEMPTS, SPANS)},
            ENDED_CALLS: database.delete_statement(RECORDS),
        },
        flush_interval_ms=settings.records.flush_ms,
        maintenance=chores,
    )
    opened.callback(writer.close)
    keys = DataKeyStore(read, writer.run_transaction_sync)
    encryption = EnvelopeEncryption(home, keys, settings.encryption.key, settings.encryption.kms)
    newest = (read(partial(each.newest_header, size=HEADER_BYTES)) for each in ENCRYPTED_TABLES)
    encryption.expect_keys_for(filter(None, newest))
    executor = ThreadPoolExecutor(ENCRYPTION_THREADS, "sizewise-encryption")
    opened.callback(executor.shutdown, cancel_futures=True)
    return Storage(database=database, writer=writer, keys=keys, encryption=encryption, executor=executor)


def _size_limit(read: TransactionRunner, write: AsyncTransactionRunner, max_bytes: int) -> RecordsSizeLimit:
    records = RecordRetention(before_delete=keep_usage, before_drop=keep_usage_between)
    spans = RecordRetention(table=SPANS, parts=())
    return RecordsSizeLimit(
        read,
        write,
        max_bytes=max_bytes,
        delete={
            "contents": lambda until: partial(stored_sizes.delete_contents, until=until),
            "spans": lambda until: partial(spans.delete_until, newest=until),
            "records": lambda until: partial(records.delete_until, newest=until),
        },
    )


def _retention_jobs(settings: FileSettings) -> dict[str, MaintenanceTask]:
    records, stored, idempotency = settings.records, settings.stored_responses, settings.idempotency
    runs, memory = settings.flows, settings.memory
    return {
        "tables of a day": prepare_days,
        "records": RecordRetention(
            records.retention_days, records.max_rows, before_delete=keep_usage, before_drop=keep_usage_between
        ),
        "ids of edges' records": lambda c: edge_tables.forget_arrivals(c, time.time_ns() // 1_000_000),
        "spans": RecordRetention(records.retention_days, records.max_rows, table=SPANS, parts=()),
        "spending": lambda c: limit_tables.delete_expired_windows(c, time.time()),
        "evaluations": eval_tables.EvalsRetention(records.retention_days, records.max_rows),
        "scores": score_tables.ScoreRetention(records.scores_retention_days, records.scores_max_rows),
        "items to label": RetentionJob(
            annotation_tables.ITEMS,
            retention_ms=records.scores_retention_days * DAY_MS,
            max_rows=records.scores_max_rows,
            max_bytes=records.contents_max_bytes,
        ),
        "stored responses": RetentionJob(
            stored_response_tables.RESPONSES,
            retention_ms=stored.retention_days * DAY_MS,
            max_rows=stored.max_rows,
            max_bytes=stored.max_bytes,
        ),
        "idempotency keys": RetentionJob(
            cache_tables.IDEMPOTENCY,
            retention_ms=idempotency.retention_hours * HOUR_MS,
            max_rows=idempotency.max_rows,
            max_bytes=idempotency.max_bytes,
        ),
        "cached answers": shared_answer_tables.AnswerRetention(settings.response_cache.shared_max_bytes),
        "batches": BatchRetention(settings.batches.retention_days * DAY_MS),
        "evals of the API": HostedEvalRetention(settings.evals.retention_days * DAY_MS, settings.evals.max_bytes),
        "files": file_tables.FileRetention(settings.files.retention_days * DAY_MS),
        "releases": delete_unneeded_releases,
        "flow runs": flow_tables.RunRetention(runs.retention_days * DAY_MS, runs.max_rows, runs.max_bytes),
        "memories": RetentionJob(
            agent_tables.MEMORIES,
            retention_ms=memory.retention_days * DAY_MS,
            max_rows=memory.max_rows,
            max_bytes=memory.max_bytes,
        ),
        "learned decisions": RetentionJob(
            decision_tables.ANSWERS,
            retention_ms=settings.learn.retention_days * DAY_MS,
            max_rows=settings.learn.max_rows,
            max_bytes=settings.learn.max_bytes,
        ),
        "decisions without answers": decision_tables.delete_unanswered,
        "prompts and replies": RetentionJob(
            payload_tables.CONTENTS,
            retention_ms=records.contents_retention_days * DAY_MS,
            max_rows=records.contents_max_rows,
            max_bytes=records.contents_max_bytes,
        ),
    }


def _build_engine(runner: Runner, *, home: Path, url: str, workers: WorkerRegistry) -> Engine:
    """Builds the engine without opening it: a server that runs no flow never waits for it."""
    if not is_installed():
        return InlineEngine(runner)
    return DbosEngine(runner, url, workers) if url else DbosEngine(runner, sqlite_url(str(home / "flows.db")))


def _open_database(home: Path, url: str) -> Database:
    path = home / "sizewise.db"
    if not url:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # the driver would make it world-readable
        except OSError as error:
            hint = "make it writable, or choose another home folder with --home DIR"
            raise StorageError(f"cannot open {str(path)!r}: {error.strerror}", hint) from error
    return open_database(url or sqlite_url(str(path)), [each.SCHEMA for each in COMPONENTS])
