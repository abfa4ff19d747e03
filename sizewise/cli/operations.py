"""Typed functions for the GraphQL operations of the CLI, generated from operations.graphql by `make docs`.

A parameter that you leave out is left out of the request; None is sent as null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from sizewise.cli.api_client import ApiClient

AlertState: TypeAlias = Literal["ok", "pending", "firing", "resolved"]
"""The state of a series of an alert rule."""
AnnotationSkip: TypeAlias = Literal["unclear", "cannot_judge", "language", "sensitive", "broken"]
DataClass: TypeAlias = Literal["public", "internal", "confidential"]
"""Confidentiality, from least to most strict."""
Dollars: TypeAlias = str
"""An exact amount of US dollars as a decimal string, such as '0.000012'."""
EdgeStanding: TypeAlias = Literal["failing", "lagging", "silent", "current", "revoked"]
"""How an edge stands to what is live in its environment. The first that holds, but for `revoked`."""
EvalVerdict: TypeAlias = Literal["pass", "fail", "unclear"]
FlowRunState: TypeAlias = Literal["queued", "running", "waiting", "done", "failed", "cancelled"]
"""The state of a flow run."""
JSON: TypeAlias = object
"""Any JSON value."""
JobState: TypeAlias = Literal["running", "done", "failed", "cancelled", "interrupted"]
NonNegativeSafeInt: TypeAlias = int
"""An integer from 0 to 2^53 - 1."""
Online: TypeAlias = Literal["allow", "deny"]
Permission: TypeAlias = Literal[
    "ask",
    "read_models",
    "read_records",
    "read_contents",
    "read_metrics",
    "read_keys",
    "read_users",
    "read_budgets",
    "read_releases",
    "read_evals",
    "read_audit",
    "own_keys",
    "manage_keys",
    "manage_users",
    "manage_budgets",
    "serve_edge",
    "annotate",
    "run_evals",
    "run_tuning",
    "approve",
    "manage_flows",
    "manage_releases",
    "manage_evals",
    "manage_policies",
    "manage_knowledge",
    "manage_alerts",
    "manage_settings",
    "manage_encryption",
    "erase_records",
    "create_organizations",
    "read",
    "manage",
]
"""What a key or role allows; `read` and `manage` are bundles."""
ScoreSource: TypeAlias = Literal["user", "person", "judge", "code"]
ScoreTarget: TypeAlias = Literal["record", "trace", "session", "item"]
SearchMode: TypeAlias = Literal["hybrid", "vector", "words"]
Timestamp: TypeAlias = int
"""Milliseconds since 1970-01-01 UTC, as an integer."""
UsageKey: TypeAlias = Literal[
    "project",
    "endpoint",
    "flow",
    "node",
    "policy",
    "model",
    "key",
    "user",
    "session",
    "release",
    "endUser",
    "tag",
    "status",
]
"""What usage can be added up by."""


class AuditEvent(Struct, frozen=True, rename="camel"):
    seq: int
    at: Timestamp
    actor: str
    action: str
    resource: str
    before: JSON | None
    after: JSON | None
    error: str
    credential: str
    previous: str
    hash: str


class Label(Struct, frozen=True, rename="camel"):
    name: str
    value: str


class AlertSeries(Struct, frozen=True, rename="camel"):
    labels: list[Label]
    state: AlertState
    severity: str
    value: float | None
    since: Timestamp
    reason: str
    sent: Timestamp | None
    silenced_until: Timestamp | None


class Alert(Struct, frozen=True, rename="camel"):
    name: str
    metric: str
    by: list[str]
    window_s: NonNegativeSafeInt
    warning: float | None
    alert: float | None
    receivers: list[str]
    problem: str
    states: list[AlertSeries]


class Silence(Struct, frozen=True, rename="camel"):
    id: str
    rule: str
    labels: list[Label]
    created: Timestamp
    ends: Timestamp
    author: str
    reason: str
    covers: NonNegativeSafeInt


class AlertCheck(Struct, frozen=True, rename="camel"):
    rule: str
    labels: list[Label]
    value: float | None
    severity: str
    reason: str


class ExpireSilencePayload(Struct, frozen=True, rename="camel"):
    id: str


class TestAlertPayload(Struct, frozen=True, rename="camel"):
    receiver: str
    delivered: bool
    error: str
    hint: str


class ReleaseChange(Struct, frozen=True, rename="camel"):
    sign: str
    kind: str
    name: str
    details: list[str]
    breaking: list[str]


class MissingRequirement(Struct, frozen=True, rename="camel"):
    kind: str
    name: str
    hint: str


class ReleaseEffect(Struct, frozen=True, rename="camel"):
    kind: str
    name: str
    sentence: str
    measured: bool
    requests: int
    cost_usd_before: Dollars | None
    cost_usd_after: Dollars | None
    quality_before: float | None
    quality_after: float | None
    quality_margin: float | None


class ReleaseGate(Struct, frozen=True, rename="camel"):
    eval: str
    verdict: EvalVerdict | None
    sentence: str
    at: Timestamp | None


class ReleasePlan(Struct, frozen=True, rename="camel"):
    id: str
    sentence: str
    environment: str
    source: str
    release: str
    base: str
    created: Timestamp
    created_by: str
    applied: Timestamp | None
    stale: bool
    changes: list[ReleaseChange]
    missing: list[MissingRequirement]
    effects: list[ReleaseEffect]
    gates: list[ReleaseGate]
    approvals: list[str]
    needed: int


class CanaryUnits(Struct, frozen=True, rename="camel"):
    canary: int
    stable: int
    step: int
    needed: int


class CanaryPairs(Struct, frozen=True, rename="camel"):
    seen: int
    needed: int


class CanaryEvidence(Struct, frozen=True, rename="camel"):
    value: float
    needed: float
    metric: str
    clock: str


class CanaryCertification(Struct, frozen=True, rename="camel"):
    value: float
    needed: float
    metric: str
    forecast_days: float | None


class CanaryMetrics(Struct, frozen=True, rename="camel"):
    name: str
    margin: float
    value: float | None
    low: float | None
    high: float | None
    evidence: float
    certified: float


class CanaryFailures(Struct, frozen=True, rename="camel"):
    trace: str
    at: Timestamp


class CanaryServers(Struct, frozen=True, rename="camel"):
    name: str
    at: Timestamp
    confirmed: bool


class Canary(Struct, frozen=True, rename="camel"):
    environment: str
    release: str
    stable: str
    state: str
    paused: bool
    step: int
    steps: list[float]
    share: float
    started: Timestamp
    ended: Timestamp | None
    reason: str
    sentence: str
    evidence_sentence: str
    limits: list[str]
    units: CanaryUnits
    pairs: CanaryPairs
    evidence: CanaryEvidence
    certification: CanaryCertification
    metrics: list[CanaryMetrics]
    failures: list[CanaryFailures]
    servers: list[CanaryServers]
    last_tick: Timestamp | None


class LiveRelease(Struct, frozen=True, rename="camel"):
    release: str
    since: Timestamp
    previous: str | None
    canary: str | None
    share: float
    changed: Timestamp
    changed_by: str


class ReleaseMove(Struct, frozen=True, rename="camel"):
    release: str
    before: str | None
    at: Timestamp
    by: str
    action: str
    reason: str


class EdgeCounts(Struct, frozen=True, rename="camel"):
    total: int
    failing: int
    lagging: int
    silent: int
    current: int
    revoked: int


class Environment(Struct, frozen=True, rename="camel"):
    name: str
    is_default: bool
    source: str
    approve: int
    live: LiveRelease | None
    problem: str
    moves: list[ReleaseMove]
    edges: EdgeCounts


class AnsweringFlow(Struct, frozen=True, rename="camel"):
    name: str
    version: str | None
    canary_version: str | None


class EnvironmentFlows(Struct, frozen=True, rename="camel"):
    environment: str
    is_default: bool
    release: str | None
    canary: str | None
    share: float
    flows: list[AnsweringFlow]


class SyncedGit(Struct, frozen=True, rename="camel"):
    url: str
    branch: str
    commit: str | None
    release: str | None
    plans: list[str]
    checked: Timestamp | None
    error: str | None


class SavedRelease(Struct, frozen=True, rename="camel"):
    new: bool


class ReleasePart(Struct, frozen=True, rename="camel"):
    kind: str
    name: str
    version: str


class Release(Struct, frozen=True, rename="camel"):
    hash: str
    created: Timestamp
    created_by: str
    parts: list[ReleasePart]
    requires: JSON


class ReleasePartContent(Struct, frozen=True, rename="camel"):
    content: str


class Budget(Struct, frozen=True, rename="camel"):
    scope: str
    unit: str
    limit: str
    spent: str
    reserved: str
    remaining: str
    resets: Timestamp
    source: str


class DataKey(Struct, frozen=True, rename="camel"):
    id: str
    wrapped_by: str
    created: Timestamp | None
    retired: Timestamp | None
    rows: NonNegativeSafeInt


class Encryption(Struct, frozen=True, rename="camel"):
    wrapped_by: str
    reencrypting: bool
    keys: list[DataKey]


class RotatedEncryptionKeys(Struct, frozen=True, rename="camel"):
    rewrapped: NonNegativeSafeInt


class FlowSummary(Struct, frozen=True, rename="camel"):
    name: str
    version: str
    published: Timestamp
    project: str
    error: str | None


class FlowText(Struct, frozen=True, rename="camel"):
    name: str
    version: str
    text: str


class FlowInput(Struct, frozen=True, rename="camel"):
    name: str
    type: JSON


class FlowInputs(Struct, frozen=True, rename="camel"):
    inputs: list[FlowInput]


class FlowVersion(Struct, frozen=True, rename="camel"):
    version: str
    created: Timestamp
    created_by: str
    live: bool


class FlowCommit(Struct, frozen=True, rename="camel"):
    repository: str
    branch: str
    commit: str
    pull_request: str | None
    problem: str | None


class PublishedFlow(Struct, frozen=True, rename="camel"):
    new: bool
    flow: FlowSummary | None
    commit: FlowCommit | None


class PublishedPromptPrompt(Struct, frozen=True, rename="camel"):
    id: str
    version: str


class PublishedPrompt(Struct, frozen=True, rename="camel"):
    new: bool
    prompt: PublishedPromptPrompt | None
    commit: FlowCommit | None


class FlowRun(Struct, frozen=True, rename="camel"):
    id: str
    number: NonNegativeSafeInt | None
    flow: str
    version: str
    project: str
    endpoint: str
    key: str
    user: str
    state: FlowRunState
    attempt: int
    error: str
    created: Timestamp
    started: Timestamp | None
    ended: Timestamp | None


class FlowRunStep(Struct, frozen=True, rename="camel"):
    key: str
    state: str
    started: Timestamp
    ended: Timestamp | None
    decided_by: str
    model: str
    cost_usd: Dollars | None
    error: str


class FlowRunDetails(FlowRun, frozen=True, rename="camel"):
    steps: list[FlowRunStep]


class AgentToolCall(Struct, frozen=True, rename="camel"):
    key: str
    tool: str
    arguments: str
    result: str | None
    failed: bool


class AgentRun(Struct, frozen=True, rename="camel"):
    key: str
    stop_reason: str | None
    tool_calls: list[AgentToolCall]


class FlowRunAgents(Struct, frozen=True, rename="camel"):
    agents: list[AgentRun] | None


class FlowRunFailure(Struct, frozen=True, rename="camel"):
    code: str
    message: str
    hint: str


class FlowRunOutput(Struct, frozen=True, rename="camel"):
    outputs: JSON | None
    failure: FlowRunFailure | None


class WaitingRun(Struct, frozen=True, rename="camel"):
    key: str
    request: JSON | None
    approvers: list[str]
    may_decide: bool
    run: FlowRun


class Scope(Struct, frozen=True, rename="camel"):
    endpoints: list[str]
    models: list[str]
    policies: list[str]
    flows: list[str]
    networks: list[str]


class Key(Struct, frozen=True, rename="camel"):
    id: str
    name: str
    project: str
    user: str
    environment: str
    all_projects: bool
    permissions: list[Permission]
    data_class: DataClass | None
    scope: Scope
    created: Timestamp
    expires: Timestamp | None
    revoked: Timestamp | None
    state: str


class NewKey(Struct, frozen=True, rename="camel"):
    secret: str
    key: Key


class KnowledgeBaseGenerations(Struct, frozen=True, rename="camel"):
    model: str
    current: bool
    ready: bool


class KnowledgeBase(Struct, frozen=True, rename="camel"):
    name: str
    project: str
    created: Timestamp | None
    model: str
    documents: int
    passages: int
    waiting: int
    quarantined: int
    missing: int | None
    generations: list[KnowledgeBaseGenerations]


class Document(Struct, frozen=True, rename="camel"):
    id: str
    source: str
    title: str
    kind: str
    state: str
    data_class: DataClass
    readers: list[str]
    pages: int
    created: Timestamp
    changed: Timestamp
    added_by: str
    notes: list[str]


class Passage(Struct, frozen=True, rename="camel"):
    id: str
    text: str
    page: int
    headings: list[str]
    tokens: int
    state: str
    suspect: list[str]


class DocumentDetails(Document, frozen=True, rename="camel"):
    passages: list[Passage] | None


class SearchResult(Struct, frozen=True, rename="camel"):
    id: str
    document: str
    source: str
    title: str
    text: str
    score: float
    page: int
    pages: list[int]
    headings: list[str]
    start: int
    end: int
    data_class: DataClass
    suspect: list[str]
    citation: str


class PassageSearch(Struct, frozen=True, rename="camel"):
    results: list[SearchResult]
    warnings: list[str]


class IngestedDocument(Struct, frozen=True, rename="camel"):
    source: str
    id: str
    outcome: str
    passages: int
    quarantined: int
    notes: list[str]


class FailedSource(Struct, frozen=True, rename="camel"):
    source: str
    why: str


class SyncedKnowledge(Struct, frozen=True, rename="camel"):
    ingested: list[IngestedDocument]
    removed: list[str]
    failed: list[FailedSource]


class PriceSummary(Struct, frozen=True, rename="camel"):
    input: Dollars | None
    output: Dollars | None


class ModelQueue(Struct, frozen=True, rename="camel"):
    busy: int
    waiting: int
    predicted_wait_s: float


class ModelSummary(Struct, frozen=True, rename="camel"):
    name: str
    size: str
    place: str
    state: str
    context: int | None
    task: str
    price: PriceSummary
    queue: ModelQueue | None


class CatalogSummaryOffers(Struct, frozen=True, rename="camel"):
    price: PriceSummary


class CatalogSummary(Struct, frozen=True, rename="camel"):
    name: str
    vendor: str
    task: str
    size: str
    parameters: NonNegativeSafeInt | None
    context: int | None
    license: str | None
    unverified: list[str]
    offers: list[CatalogSummaryOffers]


class ModelPace(Struct, frozen=True, rename="camel"):
    load: int
    requests: int
    first_token_s: float | None
    prompt_tokens_per_s: float | None
    output_tokens_per_s: float | None


class Price(Struct, frozen=True, rename="camel"):
    input: Dollars | None
    output: Dollars | None
    cached: Dollars | None
    cache_write: Dollars | None
    cache_write1h: Dollars | None = field(name="cacheWrite1h")
    reasoning: Dollars | None
    per_second: Dollars | None
    per_character: Dollars | None
    per_image: Dollars | None
    per_request: Dollars | None
    source: str
    date: str


class Weights(Struct, frozen=True, rename="camel"):
    file: str
    bytes: NonNegativeSafeInt
    sha256: str
    path: str


class Fact(Struct, frozen=True, rename="camel"):
    name: str
    value: str
    source: str


class ModelDetails(Struct, frozen=True, rename="camel"):
    name: str
    provider: str
    task: str
    size: str
    place: str
    state: str
    parameters: NonNegativeSafeInt | None
    context: int | None
    max_output: int | None
    input_modalities: list[str]
    tools: bool | None
    logprobs: bool | None
    prefill: bool
    quality: float | None
    license: str
    slots: int
    queue: ModelQueue | None
    pace: list[ModelPace]
    price: Price
    weights: Weights | None
    facts: list[Fact]


class CatalogFact(Struct, frozen=True, rename="camel"):
    name: str
    value: str
    source: str
    date: str
    unverified: bool


class MemoryEstimate(Struct, frozen=True, rename="camel"):
    quantization: str
    tokens: int
    bytes: NonNegativeSafeInt


class Offer(Struct, frozen=True, rename="camel"):
    name: str
    price: Price
    conditions: list[str]


class CatalogModel(Struct, frozen=True, rename="camel"):
    name: str
    title: str
    vendor: str
    task: str
    size: str
    names: list[str]
    parameters: NonNegativeSafeInt | None
    context: int | None
    license: str | None
    unverified: list[str]
    facts: list[CatalogFact]
    memory: list[MemoryEstimate]
    offers: list[Offer]


class Invitation(Struct, frozen=True, rename="camel"):
    id: str
    email: str
    role: str
    project: str
    invited_by: str
    created: Timestamp
    expires: Timestamp
    used: Timestamp | None


class NewInvitation(Struct, frozen=True, rename="camel"):
    token: str
    invitation: Invitation


class SignInSession(Struct, frozen=True, rename="camel"):
    id: str
    user: str
    email: str
    project: str
    created: Timestamp
    last_seen: Timestamp
    expires: Timestamp
    method: str
    second_factor: str
    device: str
    network: str


class Membership(Struct, frozen=True, rename="camel"):
    project: str
    role: str


class User(Struct, frozen=True, rename="camel"):
    id: str
    email: str
    name: str
    role: str
    projects: list[Membership]
    created: Timestamp
    disabled: Timestamp | None
    state: str


class ServiceKey(Struct, frozen=True, rename="camel"):
    id: str
    name: str


class DisabledUser(User, frozen=True, rename="camel"):
    service_keys: list[ServiceKey]


class Tokens(Struct, frozen=True, rename="camel"):
    input: NonNegativeSafeInt
    output: NonNegativeSafeInt
    cached: NonNegativeSafeInt
    cache_write: NonNegativeSafeInt
    reasoning: NonNegativeSafeInt
    estimated: bool


class Span(Struct, frozen=True, rename="camel"):
    id: str
    parent: str
    depth: int
    operation: str
    name: str
    kind: str
    at: Timestamp
    total_ms: float
    error: str
    model: str
    tokens: Tokens | None
    cost_usd: Dollars | None


class Score(Struct, frozen=True, rename="camel"):
    id: str
    target: ScoreTarget
    target_id: str
    name: str
    value: float | None
    label: str | None
    source: ScoreSource
    scorer: str
    author: str
    at: Timestamp
    weight: float
    blind: bool | None
    trace: str | None
    session: str | None
    model: str | None
    commented: bool


class LabelAgreement(Struct, frozen=True, rename="camel"):
    score: str
    items: int
    agreed: int
    kappa: float | None
    low: float | None
    high: float | None


class QueueCounts(Struct, frozen=True, rename="camel"):
    name: str
    needed: int
    done: int
    mine: int


class AnnotationScore(Struct, frozen=True, rename="camel"):
    name: str
    words: list[str]


class AnnotationItem(Struct, frozen=True, rename="camel"):
    id: str
    input: JSON
    answers: list[str]
    expected: JSON | None
    criteria: str
    options: list[AnnotationScore]
    expires: Timestamp


class AnnotationQueue(QueueCounts, frozen=True, rename="camel"):
    rubric: str
    labels: int
    wanted: int
    rules: list[str]
    next: AnnotationItem | None
    labeled: list[AnnotationItem]


class Annotated(Struct, frozen=True, rename="camel"):
    next: AnnotationItem | None
    needed: int
    done: int
    mine: int


class AddedAnnotationItems(Struct, frozen=True, rename="camel"):
    added: int
    known: int


class AnnotationLabel(Struct, frozen=True, rename="camel"):
    number: int
    ref: str
    score: str
    input: JSON
    answer: str
    expected: JSON | None
    criteria: str
    label: str
    value: float | None
    blind: bool
    probability: float | None


class PersonalRows(Struct, frozen=True, rename="camel"):
    kind: str
    count: NonNegativeSafeInt


class ErasedPersonalData(Struct, frozen=True, rename="camel"):
    dry_run: bool
    rows: list[PersonalRows]


class Energy(Struct, frozen=True, rename="camel"):
    wh: float
    estimated: bool
    how: str


class PromptUse(Struct, frozen=True, rename="camel"):
    id: str
    version: str


class Record(Struct, frozen=True, rename="camel"):
    trace: str
    span_id: str
    at: Timestamp
    endpoint: str
    key: str
    project: str
    requested_model: str
    policy: str
    model: str
    why: str
    status: int
    error: str
    stream: bool
    degraded: str
    freshness: str
    guardrails: str
    data_class: DataClass | None
    tokens: Tokens
    cost_usd: Dollars | None
    energy: Energy | None
    audio_seconds: float | None
    characters: int | None
    images: int | None
    first_token_ms: float | None
    total_ms: float
    attempt_count: int
    session: str | None
    end_user: str | None
    tags: list[str]
    prompts: list[PromptUse]
    environment: str | None
    release: str | None
    arm: str | None
    parent_span: str | None
    flow: str | None
    node: str | None
    agent: str | None


class Attempt(Struct, frozen=True, rename="camel"):
    number: int
    model: str
    place: str
    result: str
    why: str
    score: float | None
    threshold: float | None
    error: str
    tokens: Tokens
    cost_usd: Dollars | None
    started_ms: float
    first_token_ms: float | None
    ended_ms: float


class RecordDetails(Record, frozen=True, rename="camel"):
    attempts: list[Attempt]
    scores: list[Score]


class RecordContents(Struct, frozen=True, rename="camel"):
    request: str
    response: str | None
    truncated: bool


class RecordWithContents(Struct, frozen=True, rename="camel"):
    trace: str
    span_id: str
    endpoint: str
    contents: RecordContents | None


class Feedback(Struct, frozen=True, rename="camel"):
    trace: str
    policy: str
    model: str
    kind: str
    score: float


class ErasedRecords(Struct, frozen=True, rename="camel"):
    records: NonNegativeSafeInt
    contents: NonNegativeSafeInt
    feedback: NonNegativeSafeInt


class Candidate(Struct, frozen=True, rename="camel"):
    model: str
    size: str
    place: str
    eligible: bool
    why: str
    cost_usd: Dollars | None
    expected_s: float | None
    effort: str
    thinking_tokens: int | None
    counted_tokens: int | None


class RoutingStep(Struct, frozen=True, rename="camel"):
    models: list[str]
    action: str
    why: str
    threshold: float | None
    on_average: str


class Explanation(Struct, frozen=True, rename="camel"):
    requested_model: str
    policy: str
    data_class: DataClass
    tokens: int
    language: str
    freshness: str
    why: str
    error: str
    reasons: list[str]
    candidates: list[Candidate]
    steps: list[RoutingStep]


class FeedbackSummary(Struct, frozen=True, rename="camel"):
    model: str
    kind: str
    count: int
    mean: float


class PolicyQuality(Struct, frozen=True, rename="camel"):
    policy: str
    certified: float | None
    samples: int
    unjudged: int
    loss: float | None
    loss_low: float | None
    loss_high: float | None
    since: Timestamp | None
    violated: Timestamp | None
    feedback: list[FeedbackSummary]


class UsageRow(Struct, frozen=True, rename="camel"):
    key: list[str] | None
    at: Timestamp
    requests: NonNegativeSafeInt
    errors: NonNegativeSafeInt
    degraded: NonNegativeSafeInt
    unpriced: NonNegativeSafeInt
    attempts: NonNegativeSafeInt
    tokens: Tokens
    cost_usd: Dollars
    p50_ms: float | None
    p95_ms: float | None


class UsageSums(Struct, frozen=True, rename="camel"):
    requests: NonNegativeSafeInt
    errors: NonNegativeSafeInt
    degraded: NonNegativeSafeInt
    unpriced: NonNegativeSafeInt
    attempts: NonNegativeSafeInt
    tokens: Tokens
    cost_usd: Dollars
    p50_ms: float | None
    p95_ms: float | None


class UsageFolded(Struct, frozen=True, rename="camel"):
    count: NonNegativeSafeInt
    requests: NonNegativeSafeInt
    cost_usd: Dollars


class Usage(Struct, frozen=True, rename="camel"):
    since: Timestamp
    until: Timestamp
    as_of: Timestamp
    rows: list[UsageRow]
    total: UsageSums
    folded: UsageFolded


class CostParts(Struct, frozen=True, rename="camel"):
    volume_usd: Dollars
    mix_usd: Dollars
    tokens_usd: Dollars
    price_usd: Dollars


class EnergySavings(Struct, frozen=True, rename="camel"):
    requests: NonNegativeSafeInt
    unknown: NonNegativeSafeInt
    took_wh: float | None
    large_alone_wh: float | None
    how: str


class PolicySavings(Struct, frozen=True, rename="camel"):
    policy: str
    large: str
    requests: NonNegativeSafeInt
    small: NonNegativeSafeInt
    unpriced: NonNegativeSafeInt
    spent_usd: Dollars
    baseline_usd: Dollars | None
    saved_usd: Dollars | None
    margin_usd: Dollars | None
    evaluation_usd: Dollars
    energy: EnergySavings
    curves: JSON | None


class QualityLoss(Struct, frozen=True, rename="camel"):
    policy: str
    certified: float | None
    samples: int
    loss: float | None
    loss_low: float | None
    loss_high: float | None


class Samples(Struct, frozen=True, rename="camel"):
    small: str
    large: str
    judge: str
    pairs: JSON


class RestoredPolicy(Struct, frozen=True, rename="camel"):
    policy: str
    was_violated: bool


class BatchErrors(Struct, frozen=True, rename="camel"):
    code: str
    message: str
    line: int | None


class BatchRequestErrors(Struct, frozen=True, rename="camel"):
    code: str
    count: NonNegativeSafeInt


class Batch(Struct, frozen=True, rename="camel"):
    id: str
    project: str
    status: str
    sentence: str
    endpoint: str
    created: Timestamp
    expires: Timestamp
    total: NonNegativeSafeInt
    done: NonNegativeSafeInt
    failed: NonNegativeSafeInt
    cost_usd: Dollars
    max_cost_usd: Dollars | None
    input_file: str
    output_file: str | None
    error_file: str | None
    errors: list[BatchErrors]
    request_errors: list[BatchRequestErrors]
    cut: str | None


class Edge(Struct, frozen=True, rename="camel"):
    name: str
    environment: str
    standing: EdgeStanding
    wanted: str | None
    wanted_since: Timestamp | None
    kind: str
    project: str
    key: str
    release: str | None
    build: str | None
    version: str
    seen: Timestamp
    records: NonNegativeSafeInt
    waiting: NonNegativeSafeInt
    lost: NonNegativeSafeInt
    note: str


class EdgePage(Struct, frozen=True, rename="camel"):
    rows: list[Edge]
    before: str | None


class EdgeKey(Struct, frozen=True, rename="camel"):
    id: str
    digest: str
    tenant: str
    project: str
    data_class: DataClass | None
    permissions: list[Permission]
    expires: Timestamp | None
    models: list[str]
    policies: list[str]
    endpoints: list[str]
    obstacle: str


class DecisionExample(Struct, frozen=True, rename="camel"):
    id: str
    input: str
    option: NonNegativeSafeInt
    teaches: bool


class DecisionMeasurement(Struct, frozen=True, rename="camel"):
    model: str | None
    asked: NonNegativeSafeInt
    left: NonNegativeSafeInt


class DecisionRung(Struct, frozen=True, rename="camel"):
    rung: str
    inputs: NonNegativeSafeInt


class DecisionCertificate(Struct, frozen=True, rename="camel"):
    quality: float
    error: float
    taught: NonNegativeSafeInt
    certified_on: NonNegativeSafeInt
    is_certified: bool
    share: float
    agreement: float
    calibration_error: float
    rungs: list[DecisionRung]


class Decision(Struct, frozen=True, rename="camel"):
    id: str
    project: str
    model: str
    state: str
    cause: str
    options: list[str]
    instructions: str
    question: str
    answers: NonNegativeSafeInt
    next_certification_at: NonNegativeSafeInt | None
    sampled: NonNegativeSafeInt
    created: Timestamp
    changed: Timestamp
    certificate: DecisionCertificate | None


class WidgetUsdPerDay(Struct, frozen=True, rename="camel"):
    limit: Dollars | None
    spent: Dollars | None


class Widget(Struct, frozen=True, rename="camel"):
    id: str
    name: str
    key: str
    target: str
    origins: list[str]
    page: bool
    path: str
    created: Timestamp
    stopped: Timestamp | None
    usd_per_day: WidgetUsdPerDay
    warnings: list[str]


LIST_AUDIT_EVENTS = """\
query ListAuditEvents($last: Int!) { audit(last: $last) { ...AuditEvent } } fragment AuditEvent on AuditEvent { seq at
actor action resource before after error credential previous hash }
"""


class ListAuditEventsResponse(Struct, frozen=True, rename="camel"):
    audit: list[AuditEvent]


async def list_audit_events(client: ApiClient, *, last: int) -> list[AuditEvent]:
    variables = {"last": last}
    response = await client.graphql(LIST_AUDIT_EVENTS, ListAuditEventsResponse, variables)
    return response.audit


EXPORT_AUDIT_EVENTS = """\
query ExportAuditEvents($after: Int!) { me { tenant } audit(last: 1000, after: $after) { ...AuditEvent } } fragment
AuditEvent on AuditEvent { seq at actor action resource before after error credential previous hash }
"""


class ExportAuditEventsMe(Struct, frozen=True, rename="camel"):
    tenant: str


class ExportAuditEventsResponse(Struct, frozen=True, rename="camel"):
    me: ExportAuditEventsMe
    audit: list[AuditEvent]


async def export_audit_events(client: ApiClient, *, after: int) -> ExportAuditEventsResponse:
    variables = {"after": after}
    return await client.graphql(EXPORT_AUDIT_EVENTS, ExportAuditEventsResponse, variables)


LIST_ALERTS = """\
query ListAlerts { alerts { ...Alert } silences { ...Silence } } fragment Alert on Alert { name metric by windowS
warning alert receivers problem states { ...AlertSeries } } fragment AlertSeries on AlertSeries { labels { ...Label }
state severity value since reason sent silencedUntil } fragment Label on Label { name value } fragment Silence on
Silence { id rule labels { ...Label } created ends author reason covers }
"""


class ListAlertsResponse(Struct, frozen=True, rename="camel"):
    alerts: list[Alert]
    silences: list[Silence]


async def list_alerts(client: ApiClient) -> ListAlertsResponse:
    return await client.graphql(LIST_ALERTS, ListAlertsResponse)


CHECK_ALERTS = """\
query CheckAlerts($rule: String) { checkAlerts(rule: $rule) { ...AlertCheck } } fragment AlertCheck on AlertCheck { rule
labels { ...Label } value severity reason } fragment Label on Label { name value }
"""


class CheckAlertsResponse(Struct, frozen=True, rename="camel"):
    check_alerts: list[AlertCheck]


async def check_alerts(client: ApiClient, *, rule: str | UnsetType | None = UNSET) -> list[AlertCheck]:
    variables = {"rule": rule}
    response = await client.graphql(CHECK_ALERTS, CheckAlertsResponse, variables)
    return response.check_alerts


SILENCE_ALERT = """\
mutation SilenceAlert($rule: String, $labels: JSON, $hours: Float!, $reason: String!) { silenceAlert(rule: $rule,
labels: $labels, hours: $hours, reason: $reason) { ...Silence } } fragment Silence on Silence { id rule labels {
...Label } created ends author reason covers } fragment Label on Label { name value }
"""


class SilenceAlertResponse(Struct, frozen=True, rename="camel"):
    silence_alert: Silence


async def silence_alert(
    client: ApiClient,
    *,
    hours: float,
    reason: str,
    rule: str | UnsetType | None = UNSET,
    labels: JSON | UnsetType | None = UNSET,
) -> Silence:
    variables = {"rule": rule, "labels": labels, "hours": hours, "reason": reason}
    response = await client.graphql(SILENCE_ALERT, SilenceAlertResponse, variables)
    return response.silence_alert


EXPIRE_SILENCE = """\
mutation ExpireSilence($id: String!) { expireSilence(id: $id) { ...ExpireSilencePayload } } fragment
ExpireSilencePayload on ExpireSilencePayload { id }
"""


class ExpireSilenceResponse(Struct, frozen=True, rename="camel"):
    expire_silence: ExpireSilencePayload


async def expire_silence(client: ApiClient, *, id: str) -> ExpireSilencePayload:
    variables = {"id": id}
    response = await client.graphql(EXPIRE_SILENCE, ExpireSilenceResponse, variables)
    return response.expire_silence


TEST_ALERT = """\
mutation TestAlert($receiver: String!) { testAlert(receiver: $receiver) { ...TestAlertPayload } } fragment
TestAlertPayload on TestAlertPayload { receiver delivered error hint }
"""


class TestAlertResponse(Struct, frozen=True, rename="camel"):
    test_alert: TestAlertPayload


async def test_alert(client: ApiClient, *, receiver: str) -> TestAlertPayload:
    variables = {"receiver": receiver}
    response = await client.graphql(TEST_ALERT, TestAlertResponse, variables)
    return response.test_alert


SAVE_RELEASE = """\
mutation SaveRelease($manifest: JSON!, $parts: JSON!) { saveRelease(manifest: $manifest, parts: $parts) {
...SavedRelease } } fragment SavedRelease on SaveReleasePayload { new }
"""


class SaveReleaseResponse(Struct, frozen=True, rename="camel"):
    save_release: SavedRelease


async def save_release(client: ApiClient, *, manifest: JSON, parts: JSON) -> SavedRelease:
    variables = {"manifest": manifest, "parts": parts}
    response = await client.graphql(SAVE_RELEASE, SaveReleaseResponse, variables)
    return response.save_release


SYNC_GIT = """\
mutation SyncGit($ref: String) { syncGit(ref: $ref) { ...SyncedGit } } fragment SyncedGit on GitSync { url branch commit
release plans checked error }
"""


class SyncGitResponse(Struct, frozen=True, rename="camel"):
    sync_git: SyncedGit


async def sync_git(client: ApiClient, *, ref: str | UnsetType | None = UNSET) -> SyncedGit:
    variables = {"ref": ref}
    response = await client.graphql(SYNC_GIT, SyncGitResponse, variables)
    return response.sync_git


LIST_RELEASES = """\
query ListReleases($last: Int!) { releases(last: $last) { ...Release } } fragment Release on Release { hash created
createdBy parts { ...ReleasePart } requires } fragment ReleasePart on ReleasePart { kind name version }
"""


class ListReleasesResponse(Struct, frozen=True, rename="camel"):
    releases: list[Release]


async def list_releases(client: ApiClient, *, last: int) -> list[Release]:
    variables = {"last": last}
    response = await client.graphql(LIST_RELEASES, ListReleasesResponse, variables)
    return response.releases


GET_RELEASE = """\
query GetRelease($hash: String!) { release(hash: $hash) { ...Release } } fragment Release on Release { hash created
createdBy parts { ...ReleasePart } requires } fragment ReleasePart on ReleasePart { kind name version }
"""


class GetReleaseResponse(Struct, frozen=True, rename="camel"):
    release: Release


async def get_release(client: ApiClient, *, hash: str) -> Release:
    variables = {"hash": hash}
    response = await client.graphql(GET_RELEASE, GetReleaseResponse, variables)
    return response.release


GET_RELEASE_PART = """\
query GetReleasePart($kind: String!, $name: String!, $version: String!) { releasePart(kind: $kind, name: $name, version:
$version) { ...ReleasePartContent } } fragment ReleasePartContent on ReleasePartContent { content }
"""


class GetReleasePartResponse(Struct, frozen=True, rename="camel"):
    release_part: ReleasePartContent


async def get_release_part(client: ApiClient, *, kind: str, name: str, version: str) -> ReleasePartContent:
    variables = {"kind": kind, "name": name, "version": version}
    response = await client.graphql(GET_RELEASE_PART, GetReleasePartResponse, variables)
    return response.release_part


LIST_ENVIRONMENTS = """\
query ListEnvironments { environments { ...Environment } } fragment Environment on Environment { name isDefault source
approve live { ...LiveRelease } problem moves { ...ReleaseMove } edges { ...EdgeCounts } } fragment LiveRelease on
LiveRelease { release since previous canary share changed changedBy } fragment ReleaseMove on ReleaseMove { release
before at by action reason } fragment EdgeCounts on EdgeCounts { total failing lagging silent current revoked }
"""


class ListEnvironmentsResponse(Struct, frozen=True, rename="camel"):
    environments: list[Environment]


async def list_environments(client: ApiClient) -> list[Environment]:
    response = await client.graphql(LIST_ENVIRONMENTS, ListEnvironmentsResponse)
    return response.environments


LIST_FLOWS_BY_ENVIRONMENT = """\
query ListFlowsByEnvironment { flowsByEnvironment { ...EnvironmentFlows } } fragment EnvironmentFlows on
EnvironmentFlows { environment isDefault release canary share flows { ...AnsweringFlow } } fragment AnsweringFlow on
AnsweringFlow { name version canaryVersion }
"""


class ListFlowsByEnvironmentResponse(Struct, frozen=True, rename="camel"):
    flows_by_environment: list[EnvironmentFlows]


async def list_flows_by_environment(client: ApiClient) -> list[EnvironmentFlows]:
    response = await client.graphql(LIST_FLOWS_BY_ENVIRONMENT, ListFlowsByEnvironmentResponse)
    return response.flows_by_environment


APPLY_RELEASE = """\
mutation ApplyRelease($plan: String, $environment: String, $release: String, $breaking: Boolean!, $reason: String!,
$now: Boolean!, $edges: [String!]!) { applyRelease( plan: $plan environment: $environment release: $release breaking:
$breaking reason: $reason now: $now edges: $edges ) { ...Environment } } fragment Environment on Environment { name
isDefault source approve live { ...LiveRelease } problem moves { ...ReleaseMove } edges { ...EdgeCounts } } fragment
LiveRelease on LiveRelease { release since previous canary share changed changedBy } fragment ReleaseMove on ReleaseMove
{ release before at by action reason } fragment EdgeCounts on EdgeCounts { total failing lagging silent current revoked
}
"""


class ApplyReleaseResponse(Struct, frozen=True, rename="camel"):
    apply_release: Environment


async def apply_release(
    client: ApiClient,
    *,
    breaking: bool,
    reason: str,
    now: bool,
    edges: Sequence[str],
    plan: str | UnsetType | None = UNSET,
    environment: str | UnsetType | None = UNSET,
    release: str | UnsetType | None = UNSET,
) -> Environment:
    variables = {
        "plan": plan,
        "environment": environment,
        "release": release,
        "breaking": breaking,
        "reason": reason,
        "now": now,
        "edges": edges,
    }
    response = await client.graphql(APPLY_RELEASE, ApplyReleaseResponse, variables)
    return response.apply_release


GET_RELEASE_PLAN = """\
query GetReleasePlan($id: String!) { releasePlan(id: $id) { ...ReleasePlan } } fragment ReleasePlan on ReleasePlan { id
sentence environment source release base created createdBy applied stale changes { ...ReleaseChange } missing {
...MissingRequirement } effects { ...ReleaseEffect } gates { ...ReleaseGate } approvals needed } fragment ReleaseChange
on ReleaseChange { sign kind name details breaking } fragment MissingRequirement on MissingRequirement { kind name hint
} fragment ReleaseEffect on ReleaseEffect { kind name sentence measured requests costUsdBefore costUsdAfter
qualityBefore qualityAfter qualityMargin } fragment ReleaseGate on ReleaseGate { eval verdict sentence at }
"""


class GetReleasePlanResponse(Struct, frozen=True, rename="camel"):
    release_plan: ReleasePlan


async def get_release_plan(client: ApiClient, *, id: str) -> ReleasePlan:
    variables = {"id": id}
    response = await client.graphql(GET_RELEASE_PLAN, GetReleasePlanResponse, variables)
    return response.release_plan


PLAN_RELEASE = """\
mutation PlanRelease($source: String!, $to: String!) { planRelease(from: $source, to: $to) { ...ReleasePlan } } fragment
ReleasePlan on ReleasePlan { id sentence environment source release base created createdBy applied stale changes {
...ReleaseChange } missing { ...MissingRequirement } effects { ...ReleaseEffect } gates { ...ReleaseGate } approvals
needed } fragment ReleaseChange on ReleaseChange { sign kind name details breaking } fragment MissingRequirement on
MissingRequirement { kind name hint } fragment ReleaseEffect on ReleaseEffect { kind name sentence measured requests
costUsdBefore costUsdAfter qualityBefore qualityAfter qualityMargin } fragment ReleaseGate on ReleaseGate { eval verdict
sentence at }
"""


class PlanReleaseResponse(Struct, frozen=True, rename="camel"):
    plan_release: ReleasePlan


async def plan_release(client: ApiClient, *, source: str, to: str) -> ReleasePlan:
    variables = {"source": source, "to": to}
    response = await client.graphql(PLAN_RELEASE, PlanReleaseResponse, variables)
    return response.plan_release


SHOW_PLAN = """\
query ShowPlan($id: String!) { releasePlan(id: $id) { ...ReleasePlan } } fragment ReleasePlan on ReleasePlan { id
sentence environment source release base created createdBy applied stale changes { ...ReleaseChange } missing {
...MissingRequirement } effects { ...ReleaseEffect } gates { ...ReleaseGate } approvals needed } fragment ReleaseChange
on ReleaseChange { sign kind name details breaking } fragment MissingRequirement on MissingRequirement { kind name hint
} fragment ReleaseEffect on ReleaseEffect { kind name sentence measured requests costUsdBefore costUsdAfter
qualityBefore qualityAfter qualityMargin } fragment ReleaseGate on ReleaseGate { eval verdict sentence at }
"""


class ShowPlanResponse(Struct, frozen=True, rename="camel"):
    release_plan: ReleasePlan


async def show_plan(client: ApiClient, *, id: str) -> ReleasePlan:
    variables = {"id": id}
    response = await client.graphql(SHOW_PLAN, ShowPlanResponse, variables)
    return response.release_plan


GATE_RELEASE = """\
mutation GateRelease($plan: String!, $eval: String!) { gateRelease(plan: $plan, eval: $eval) { ...ReleasePlan } }
fragment ReleasePlan on ReleasePlan { id sentence environment source release base created createdBy applied stale
changes { ...ReleaseChange } missing { ...MissingRequirement } effects { ...ReleaseEffect } gates { ...ReleaseGate }
approvals needed } fragment ReleaseChange on ReleaseChange { sign kind name details breaking } fragment
MissingRequirement on MissingRequirement { kind name hint } fragment ReleaseEffect on ReleaseEffect { kind name sentence
measured requests costUsdBefore costUsdAfter qualityBefore qualityAfter qualityMargin } fragment ReleaseGate on
ReleaseGate { eval verdict sentence at }
"""


class GateReleaseResponse(Struct, frozen=True, rename="camel"):
    gate_release: ReleasePlan


async def gate_release(client: ApiClient, *, plan: str, eval: str) -> ReleasePlan:
    variables = {"plan": plan, "eval": eval}
    response = await client.graphql(GATE_RELEASE, GateReleaseResponse, variables)
    return response.gate_release


START_EVAL_OF_RELEASE = """\
mutation StartEvalOfRelease($suite: String!, $release: String!) { startEval(suite: $suite, release: $release) { id } }
"""


class StartEvalOfReleaseResult(Struct, frozen=True, rename="camel"):
    id: str


class StartEvalOfReleaseResponse(Struct, frozen=True, rename="camel"):
    start_eval: StartEvalOfReleaseResult


async def start_eval_of_release(client: ApiClient, *, suite: str, release: str) -> StartEvalOfReleaseResult:
    variables = {"suite": suite, "release": release}
    response = await client.graphql(START_EVAL_OF_RELEASE, StartEvalOfReleaseResponse, variables)
    return response.start_eval


WATCH_EVAL_RUN = """\
query WatchEvalRun($id: String!) { evalRun(id: $id) { state total done failed error } }
"""


class WatchEvalRunResult(Struct, frozen=True, rename="camel"):
    state: JobState
    total: int
    done: int
    failed: int
    error: str | None


class WatchEvalRunResponse(Struct, frozen=True, rename="camel"):
    eval_run: WatchEvalRunResult


async def watch_eval_run(client: ApiClient, *, id: str) -> WatchEvalRunResult:
    variables = {"id": id}
    response = await client.graphql(WATCH_EVAL_RUN, WatchEvalRunResponse, variables)
    return response.eval_run


APPROVE_RELEASE = """\
mutation ApproveRelease($plan: String!) { approveRelease(plan: $plan) { ...ReleasePlan } } fragment ReleasePlan on
ReleasePlan { id sentence environment source release base created createdBy applied stale changes { ...ReleaseChange }
missing { ...MissingRequirement } effects { ...ReleaseEffect } gates { ...ReleaseGate } approvals needed } fragment
ReleaseChange on ReleaseChange { sign kind name details breaking } fragment MissingRequirement on MissingRequirement {
kind name hint } fragment ReleaseEffect on ReleaseEffect { kind name sentence measured requests costUsdBefore
costUsdAfter qualityBefore qualityAfter qualityMargin } fragment ReleaseGate on ReleaseGate { eval verdict sentence at }
"""


class ApproveReleaseResponse(Struct, frozen=True, rename="camel"):
    approve_release: ReleasePlan


async def approve_release(client: ApiClient, *, plan: str) -> ReleasePlan:
    variables = {"plan": plan}
    response = await client.graphql(APPROVE_RELEASE, ApproveReleaseResponse, variables)
    return response.approve_release


SHOW_CANARY = """\
query ShowCanary($environment: String!) { canary(environment: $environment, last: 1) { ...Canary } } fragment Canary on
Canary { environment release stable state paused step steps share started ended reason sentence evidenceSentence limits
units { canary stable step needed } pairs { seen needed } evidence { value needed metric clock } certification { value
needed metric forecastDays } metrics { name margin value low high evidence certified } failures { trace at } servers {
name at confirmed } lastTick }
"""


class ShowCanaryResponse(Struct, frozen=True, rename="camel"):
    canary: Canary | None


async def show_canary(client: ApiClient, *, environment: str) -> Canary | None:
    variables = {"environment": environment}
    response = await client.graphql(SHOW_CANARY, ShowCanaryResponse, variables)
    return response.canary


PAUSE_RELEASE = """\
mutation PauseRelease($environment: String!) { pauseRelease(environment: $environment) { ...Canary } } fragment Canary
on Canary { environment release stable state paused step steps share started ended reason sentence evidenceSentence
limits units { canary stable step needed } pairs { seen needed } evidence { value needed metric clock } certification {
value needed metric forecastDays } metrics { name margin value low high evidence certified } failures { trace at }
servers { name at confirmed } lastTick }
"""


class PauseReleaseResponse(Struct, frozen=True, rename="camel"):
    pause_release: Canary


async def pause_release(client: ApiClient, *, environment: str) -> Canary:
    variables = {"environment": environment}
    response = await client.graphql(PAUSE_RELEASE, PauseReleaseResponse, variables)
    return response.pause_release


RESUME_RELEASE = """\
mutation ResumeRelease($environment: String!) { resumeRelease(environment: $environment) { ...Canary } } fragment Canary
on Canary { environment release stable state paused step steps share started ended reason sentence evidenceSentence
limits units { canary stable step needed } pairs { seen needed } evidence { value needed metric clock } certification {
value needed metric forecastDays } metrics { name margin value low high evidence certified } failures { trace at }
servers { name at confirmed } lastTick }
"""


class ResumeReleaseResponse(Struct, frozen=True, rename="camel"):
    resume_release: Canary


async def resume_release(client: ApiClient, *, environment: str) -> Canary:
    variables = {"environment": environment}
    response = await client.graphql(RESUME_RELEASE, ResumeReleaseResponse, variables)
    return response.resume_release


PROMOTE_RELEASE = """\
mutation PromoteRelease($environment: String!, $breaking: Boolean!, $reason: String!, $edges: [String!]!) {
promoteRelease( environment: $environment breaking: $breaking reason: $reason edges: $edges ) { ...Environment } }
fragment Environment on Environment { name isDefault source approve live { ...LiveRelease } problem moves {
...ReleaseMove } edges { ...EdgeCounts } } fragment LiveRelease on LiveRelease { release since previous canary share
changed changedBy } fragment ReleaseMove on ReleaseMove { release before at by action reason } fragment EdgeCounts on
EdgeCounts { total failing lagging silent current revoked }
"""


class PromoteReleaseResponse(Struct, frozen=True, rename="camel"):
    promote_release: Environment


async def promote_release(
    client: ApiClient,
    *,
    environment: str,
    breaking: bool,
    reason: str,
    edges: Sequence[str],
) -> Environment:
    variables = {"environment": environment, "breaking": breaking, "reason": reason, "edges": edges}
    response = await client.graphql(PROMOTE_RELEASE, PromoteReleaseResponse, variables)
    return response.promote_release


ROLLBACK_RELEASE = """\
mutation RollbackRelease($environment: String!, $to: String!, $reason: String!) { rollbackRelease(environment:
$environment, to: $to, reason: $reason) { ...Environment } } fragment Environment on Environment { name isDefault source
approve live { ...LiveRelease } problem moves { ...ReleaseMove } edges { ...EdgeCounts } } fragment LiveRelease on
LiveRelease { release since previous canary share changed changedBy } fragment ReleaseMove on ReleaseMove { release
before at by action reason } fragment EdgeCounts on EdgeCounts { total failing lagging silent current revoked }
"""


class RollbackReleaseResponse(Struct, frozen=True, rename="camel"):
    rollback_release: Environment


async def rollback_release(client: ApiClient, *, environment: str, to: str, reason: str) -> Environment:
    variables = {"environment": environment, "to": to, "reason": reason}
    response = await client.graphql(ROLLBACK_RELEASE, RollbackReleaseResponse, variables)
    return response.rollback_release


LIST_BUDGETS = """\
query ListBudgets { budgets { ...Budget } } fragment Budget on Budget { scope unit limit spent reserved remaining resets
source }
"""


class ListBudgetsResponse(Struct, frozen=True, rename="camel"):
    budgets: list[Budget]


async def list_budgets(client: ApiClient) -> list[Budget]:
    response = await client.graphql(LIST_BUDGETS, ListBudgetsResponse)
    return response.budgets


SET_BUDGET = """\
mutation SetBudget($scope: String!, $requestsPerMinute: NonNegativeSafeInt, $tokensPerMinute: NonNegativeSafeInt,
$usdPerDay: Dollars, $usdPerMonth: Dollars) { setBudget( scope: $scope requestsPerMinute: $requestsPerMinute
tokensPerMinute: $tokensPerMinute usdPerDay: $usdPerDay usdPerMonth: $usdPerMonth ) { ...Budget } } fragment Budget on
Budget { scope unit limit spent reserved remaining resets source }
"""


class SetBudgetResponse(Struct, frozen=True, rename="camel"):
    set_budget: list[Budget]


async def set_budget(
    client: ApiClient,
    *,
    scope: str,
    requests_per_minute: NonNegativeSafeInt | UnsetType | None = UNSET,
    tokens_per_minute: NonNegativeSafeInt | UnsetType | None = UNSET,
    usd_per_day: Dollars | UnsetType | None = UNSET,
    usd_per_month: Dollars | UnsetType | None = UNSET,
) -> list[Budget]:
    variables = {
        "scope": scope,
        "requestsPerMinute": requests_per_minute,
        "tokensPerMinute": tokens_per_minute,
        "usdPerDay": usd_per_day,
        "usdPerMonth": usd_per_month,
    }
    response = await client.graphql(SET_BUDGET, SetBudgetResponse, variables)
    return response.set_budget


GET_ENCRYPTION = """\
query GetEncryption { encryption { ...Encryption } } fragment Encryption on Encryption { wrappedBy reencrypting keys {
...DataKey } } fragment DataKey on DataKey { id wrappedBy created retired rows }
"""


class GetEncryptionResponse(Struct, frozen=True, rename="camel"):
    encryption: Encryption


async def get_encryption(client: ApiClient) -> Encryption:
    response = await client.graphql(GET_ENCRYPTION, GetEncryptionResponse)
    return response.encryption


ROTATE_ENCRYPTION_KEYS = """\
mutation RotateEncryptionKeys($newDataKeys: Boolean!) { rotateEncryptionKeys(newDataKeys: $newDataKeys) {
...RotatedEncryptionKeys } } fragment RotatedEncryptionKeys on RotateEncryptionKeysPayload { rewrapped }
"""


class RotateEncryptionKeysResponse(Struct, frozen=True, rename="camel"):
    rotate_encryption_keys: RotatedEncryptionKeys


async def rotate_encryption_keys(client: ApiClient, *, new_data_keys: bool) -> RotatedEncryptionKeys:
    variables = {"newDataKeys": new_data_keys}
    response = await client.graphql(ROTATE_ENCRYPTION_KEYS, RotateEncryptionKeysResponse, variables)
    return response.rotate_encryption_keys


LIST_FLOWS = """\
query ListFlows { flows { ...FlowSummary } } fragment FlowSummary on Flow { name version published project error }
"""


class ListFlowsResponse(Struct, frozen=True, rename="camel"):
    flows: list[FlowSummary]


async def list_flows(client: ApiClient) -> list[FlowSummary]:
    response = await client.graphql(LIST_FLOWS, ListFlowsResponse)
    return response.flows


GET_FLOW_TEXT = """\
query GetFlowText($name: String!) { flow(name: $name) { ...FlowText } } fragment FlowText on Flow { name version text }
"""


class GetFlowTextResponse(Struct, frozen=True, rename="camel"):
    flow: FlowText | None


async def get_flow_text(client: ApiClient, *, name: str) -> FlowText | None:
    variables = {"name": name}
    response = await client.graphql(GET_FLOW_TEXT, GetFlowTextResponse, variables)
    return response.flow


GET_FLOW_INPUTS = """\
query GetFlowInputs($name: String!) { flow(name: $name) { ...FlowInputs } } fragment FlowInputs on Flow { inputs {
...FlowInput } } fragment FlowInput on FlowValue { name type }
"""


class GetFlowInputsResponse(Struct, frozen=True, rename="camel"):
    flow: FlowInputs | None


async def get_flow_inputs(client: ApiClient, *, name: str) -> FlowInputs | None:
    variables = {"name": name}
    response = await client.graphql(GET_FLOW_INPUTS, GetFlowInputsResponse, variables)
    return response.flow


LIST_FLOW_VERSIONS = """\
query ListFlowVersions($name: String!, $limit: Int!) { flowVersions(name: $name, limit: $limit) { ...FlowVersion } }
fragment FlowVersion on FlowVersion { version created createdBy live }
"""


class ListFlowVersionsResponse(Struct, frozen=True, rename="camel"):
    flow_versions: list[FlowVersion]


async def list_flow_versions(client: ApiClient, *, name: str, limit: int) -> list[FlowVersion]:
    variables = {"name": name, "limit": limit}
    response = await client.graphql(LIST_FLOW_VERSIONS, ListFlowVersionsResponse, variables)
    return response.flow_versions


PUBLISH_FLOW = """\
mutation PublishFlow($text: String!, $project: String) { publishFlow(text: $text, project: $project) { ...PublishedFlow
} } fragment PublishedFlow on PublishFlowPayload { new flow { ...FlowSummary } commit { ...FlowCommit } } fragment
FlowSummary on Flow { name version published project error } fragment FlowCommit on PublishedCommit { repository branch
commit pullRequest problem }
"""


class PublishFlowResponse(Struct, frozen=True, rename="camel"):
    publish_flow: PublishedFlow


async def publish_flow(client: ApiClient, *, text: str, project: str | UnsetType | None = UNSET) -> PublishedFlow:
    variables = {"text": text, "project": project}
    response = await client.graphql(PUBLISH_FLOW, PublishFlowResponse, variables)
    return response.publish_flow


WITHDRAW_FLOW = """\
mutation WithdrawFlow($name: String!, $project: String) { withdrawFlow(name: $name, project: $project) { name commit {
...FlowCommit } } } fragment FlowCommit on PublishedCommit { repository branch commit pullRequest problem }
"""


class WithdrawFlowResult(Struct, frozen=True, rename="camel"):
    name: str
    commit: FlowCommit | None


class WithdrawFlowResponse(Struct, frozen=True, rename="camel"):
    withdraw_flow: WithdrawFlowResult


async def withdraw_flow(client: ApiClient, *, name: str, project: str | UnsetType | None = UNSET) -> WithdrawFlowResult:
    variables = {"name": name, "project": project}
    response = await client.graphql(WITHDRAW_FLOW, WithdrawFlowResponse, variables)
    return response.withdraw_flow


PUBLISH_PROMPT = """\
mutation PublishPrompt($id: String!, $text: String!, $expectedVersion: String, $note: String!) { publishPrompt( id: $id
text: $text expectedVersion: $expectedVersion note: $note ) { ...PublishedPrompt } } fragment PublishedPrompt on
PublishPromptPayload { new prompt { id version } commit { ...FlowCommit } } fragment FlowCommit on PublishedCommit {
repository branch commit pullRequest problem }
"""


class PublishPromptResponse(Struct, frozen=True, rename="camel"):
    publish_prompt: PublishedPrompt


async def publish_prompt(
    client: ApiClient,
    *,
    id: str,
    text: str,
    note: str,
    expected_version: str | UnsetType | None = UNSET,
) -> PublishedPrompt:
    variables = {"id": id, "text": text, "expectedVersion": expected_version, "note": note}
    response = await client.graphql(PUBLISH_PROMPT, PublishPromptResponse, variables)
    return response.publish_prompt


LIST_FLOW_RUNS = """\
query ListFlowRuns($flow: String!, $state: FlowRunState, $before: Int!, $last: Int!) { flowRuns(flow: $flow, state:
$state, before: $before, last: $last) { ...FlowRun } } fragment FlowRun on FlowRun { id number flow version project
endpoint key user state attempt error created started ended }
"""


class ListFlowRunsResponse(Struct, frozen=True, rename="camel"):
    flow_runs: list[FlowRun]


async def list_flow_runs(
    client: ApiClient,
    *,
    flow: str,
    before: int,
    last: int,
    state: FlowRunState | UnsetType | None = UNSET,
) -> list[FlowRun]:
    variables = {"flow": flow, "state": state, "before": before, "last": last}
    response = await client.graphql(LIST_FLOW_RUNS, ListFlowRunsResponse, variables)
    return response.flow_runs


GET_FLOW_RUN = """\
query GetFlowRun($id: String!) { flowRun(id: $id) { ...FlowRunDetails } } fragment FlowRunDetails on FlowRun {
...FlowRun steps { ...FlowRunStep } } fragment FlowRun on FlowRun { id number flow version project endpoint key user
state attempt error created started ended } fragment FlowRunStep on FlowRunStep { key state started ended decidedBy
model costUsd error }
"""


class GetFlowRunResponse(Struct, frozen=True, rename="camel"):
    flow_run: FlowRunDetails | None


async def get_flow_run(client: ApiClient, *, id: str) -> FlowRunDetails | None:
    variables = {"id": id}
    response = await client.graphql(GET_FLOW_RUN, GetFlowRunResponse, variables)
    return response.flow_run


GET_FLOW_RUN_AGENTS = """\
query GetFlowRunAgents($id: String!) { flowRun(id: $id) { ...FlowRunAgents } } fragment FlowRunAgents on FlowRun {
agents { ...AgentRun } } fragment AgentRun on AgentRun { key stopReason toolCalls { ...AgentToolCall } } fragment
AgentToolCall on AgentToolCall { key tool arguments result failed }
"""


class GetFlowRunAgentsResponse(Struct, frozen=True, rename="camel"):
    flow_run: FlowRunAgents | None


async def get_flow_run_agents(client: ApiClient, *, id: str) -> FlowRunAgents | None:
    variables = {"id": id}
    response = await client.graphql(GET_FLOW_RUN_AGENTS, GetFlowRunAgentsResponse, variables)
    return response.flow_run


GET_FLOW_RUN_OUTPUT = """\
query GetFlowRunOutput($id: String!) { flowRun(id: $id) { ...FlowRunOutput } } fragment FlowRunOutput on FlowRun {
outputs failure { ...FlowRunFailure } } fragment FlowRunFailure on FlowRunFailure { code message hint }
"""


class GetFlowRunOutputResponse(Struct, frozen=True, rename="camel"):
    flow_run: FlowRunOutput | None


async def get_flow_run_output(client: ApiClient, *, id: str) -> FlowRunOutput | None:
    variables = {"id": id}
    response = await client.graphql(GET_FLOW_RUN_OUTPUT, GetFlowRunOutputResponse, variables)
    return response.flow_run


LIST_WAITING_RUNS = """\
query ListWaitingRuns($last: Int!) { waiting(last: $last) { ...WaitingRun } } fragment WaitingRun on Waiting { key
request approvers mayDecide run { ...FlowRun } } fragment FlowRun on FlowRun { id number flow version project endpoint
key user state attempt error created started ended }
"""


class ListWaitingRunsResponse(Struct, frozen=True, rename="camel"):
    waiting: list[WaitingRun]


async def list_waiting_runs(client: ApiClient, *, last: int) -> list[WaitingRun]:
    variables = {"last": last}
    response = await client.graphql(LIST_WAITING_RUNS, ListWaitingRunsResponse, variables)
    return response.waiting


START_FLOW_RUN = """\
mutation StartFlowRun($flow: String!, $version: String!, $inputs: JSON!) { startFlowRun(flow: $flow, version: $version,
inputs: $inputs) { id } }
"""


class StartFlowRunResult(Struct, frozen=True, rename="camel"):
    id: str


class StartFlowRunResponse(Struct, frozen=True, rename="camel"):
    start_flow_run: StartFlowRunResult


async def start_flow_run(client: ApiClient, *, flow: str, version: str, inputs: JSON) -> StartFlowRunResult:
    variables = {"flow": flow, "version": version, "inputs": inputs}
    response = await client.graphql(START_FLOW_RUN, StartFlowRunResponse, variables)
    return response.start_flow_run


CANCEL_FLOW_RUN = """\
mutation CancelFlowRun($id: String!) { cancelFlowRun(id: $id) { ...FlowRun } } fragment FlowRun on FlowRun { id number
flow version project endpoint key user state attempt error created started ended }
"""


class CancelFlowRunResponse(Struct, frozen=True, rename="camel"):
    cancel_flow_run: FlowRun


async def cancel_flow_run(client: ApiClient, *, id: str) -> FlowRun:
    variables = {"id": id}
    response = await client.graphql(CANCEL_FLOW_RUN, CancelFlowRunResponse, variables)
    return response.cancel_flow_run


RESUME_FLOW_RUN = """\
mutation ResumeFlowRun($id: String!) { resumeFlowRun(id: $id) { ...FlowRun } } fragment FlowRun on FlowRun { id number
flow version project endpoint key user state attempt error created started ended }
"""


class ResumeFlowRunResponse(Struct, frozen=True, rename="camel"):
    resume_flow_run: FlowRun


async def resume_flow_run(client: ApiClient, *, id: str) -> FlowRun:
    variables = {"id": id}
    response = await client.graphql(RESUME_FLOW_RUN, ResumeFlowRunResponse, variables)
    return response.resume_flow_run


DECIDE = """\
mutation Decide($id: String!, $key: String!, $approved: Boolean!, $note: String!, $value: JSON) { decide(id: $id, key:
$key, approved: $approved, note: $note, value: $value) { ...FlowRun } } fragment FlowRun on FlowRun { id number flow
version project endpoint key user state attempt error created started ended }
"""


class DecideResponse(Struct, frozen=True, rename="camel"):
    decide: FlowRun


async def decide(
    client: ApiClient,
    *,
    id: str,
    key: str,
    approved: bool,
    note: str,
    value: JSON | UnsetType | None = UNSET,
) -> FlowRun:
    variables = {"id": id, "key": key, "approved": approved, "note": note, "value": value}
    response = await client.graphql(DECIDE, DecideResponse, variables)
    return response.decide


LIST_KEYS = """\
query ListKeys { keys { ...Key } } fragment Key on Key { id name project user environment allProjects permissions
dataClass scope { ...Scope } created expires revoked state } fragment Scope on Scope { endpoints models policies flows
networks }
"""


class ListKeysResponse(Struct, frozen=True, rename="camel"):
    keys: list[Key]


async def list_keys(client: ApiClient) -> list[Key]:
    response = await client.graphql(LIST_KEYS, ListKeysResponse)
    return response.keys


CREATE_KEY = """\
mutation CreateKey($name: String!, $permissions: [Permission!], $expiresInDays: Float, $project: String, $dataClass:
DataClass, $personal: Boolean!, $environment: String, $endpoints: [String!], $models: [String!], $policies: [String!],
$flows: [String!], $networks: [String!]) { createKey( name: $name permissions: $permissions expiresInDays:
$expiresInDays project: $project dataClass: $dataClass personal: $personal environment: $environment endpoints:
$endpoints models: $models policies: $policies flows: $flows networks: $networks ) { ...NewKey } } fragment NewKey on
NewKey { secret key { ...Key } } fragment Key on Key { id name project user environment allProjects permissions
dataClass scope { ...Scope } created expires revoked state } fragment Scope on Scope { endpoints models policies flows
networks }
"""


class CreateKeyResponse(Struct, frozen=True, rename="camel"):
    create_key: NewKey


async def create_key(
    client: ApiClient,
    *,
    name: str,
    personal: bool,
    permissions: Sequence[Permission] | UnsetType | None = UNSET,
    expires_in_days: float | UnsetType | None = UNSET,
    project: str | UnsetType | None = UNSET,
    data_class: DataClass | UnsetType | None = UNSET,
    environment: str | UnsetType | None = UNSET,
    endpoints: Sequence[str] | UnsetType | None = UNSET,
    models: Sequence[str] | UnsetType | None = UNSET,
    policies: Sequence[str] | UnsetType | None = UNSET,
    flows: Sequence[str] | UnsetType | None = UNSET,
    networks: Sequence[str] | UnsetType | None = UNSET,
) -> NewKey:
    variables = {
        "name": name,
        "permissions": permissions,
        "expiresInDays": expires_in_days,
        "project": project,
        "dataClass": data_class,
        "personal": personal,
        "environment": environment,
        "endpoints": endpoints,
        "models": models,
        "policies": policies,
        "flows": flows,
        "networks": networks,
    }
    response = await client.graphql(CREATE_KEY, CreateKeyResponse, variables)
    return response.create_key


ROTATE_KEY = """\
mutation RotateKey($id: String!, $overlapHours: Float!) { rotateKey(id: $id, overlapHours: $overlapHours) { ...NewKey }
} fragment NewKey on NewKey { secret key { ...Key } } fragment Key on Key { id name project user environment allProjects
permissions dataClass scope { ...Scope } created expires revoked state } fragment Scope on Scope { endpoints models
policies flows networks }
"""


class RotateKeyResponse(Struct, frozen=True, rename="camel"):
    rotate_key: NewKey


async def rotate_key(client: ApiClient, *, id: str, overlap_hours: float) -> NewKey:
    variables = {"id": id, "overlapHours": overlap_hours}
    response = await client.graphql(ROTATE_KEY, RotateKeyResponse, variables)
    return response.rotate_key


REVOKE_KEY = """\
mutation RevokeKey($id: String!) { revokeKey(id: $id) { id } }
"""


class RevokeKeyResult(Struct, frozen=True, rename="camel"):
    id: str


class RevokeKeyResponse(Struct, frozen=True, rename="camel"):
    revoke_key: RevokeKeyResult


async def revoke_key(client: ApiClient, *, id: str) -> RevokeKeyResult:
    variables = {"id": id}
    response = await client.graphql(REVOKE_KEY, RevokeKeyResponse, variables)
    return response.revoke_key


LIST_KNOWLEDGE_BASES = """\
query ListKnowledgeBases { knowledge { ...KnowledgeBase } } fragment KnowledgeBase on KnowledgeBase { name project
created model documents passages waiting quarantined missing generations { model current ready } }
"""


class ListKnowledgeBasesResponse(Struct, frozen=True, rename="camel"):
    knowledge: list[KnowledgeBase]


async def list_knowledge_bases(client: ApiClient) -> list[KnowledgeBase]:
    response = await client.graphql(LIST_KNOWLEDGE_BASES, ListKnowledgeBasesResponse)
    return response.knowledge


LIST_MISSING_PASSAGES = """\
query ListMissingPassages { me { project } knowledge { name project waiting missing } }
"""


class ListMissingPassagesMe(Struct, frozen=True, rename="camel"):
    project: str


class ListMissingPassagesKnowledge(Struct, frozen=True, rename="camel"):
    name: str
    project: str
    waiting: int
    missing: int | None


class ListMissingPassagesResponse(Struct, frozen=True, rename="camel"):
    me: ListMissingPassagesMe
    knowledge: list[ListMissingPassagesKnowledge]


async def list_missing_passages(client: ApiClient) -> ListMissingPassagesResponse:
    return await client.graphql(LIST_MISSING_PASSAGES, ListMissingPassagesResponse)


LIST_DOCUMENTS = """\
query ListDocuments($base: String!, $after: String, $limit: Int) { documents(base: $base, after: $after, limit: $limit)
{ ...Document } } fragment Document on Document { id source title kind state dataClass readers pages created changed
addedBy notes }
"""


class ListDocumentsResponse(Struct, frozen=True, rename="camel"):
    documents: list[Document]


async def list_documents(
    client: ApiClient,
    *,
    base: str,
    after: str | UnsetType | None = UNSET,
    limit: int | UnsetType | None = UNSET,
) -> list[Document]:
    variables = {"base": base, "after": after, "limit": limit}
    response = await client.graphql(LIST_DOCUMENTS, ListDocumentsResponse, variables)
    return response.documents


GET_DOCUMENT = """\
query GetDocument($base: String!, $id: String!) { document(base: $base, id: $id) { ...DocumentDetails } } fragment
DocumentDetails on Document { ...Document passages { ...Passage } } fragment Document on Document { id source title kind
state dataClass readers pages created changed addedBy notes } fragment Passage on Passage { id text page headings tokens
state suspect }
"""


class GetDocumentResponse(Struct, frozen=True, rename="camel"):
    document: DocumentDetails


async def get_document(client: ApiClient, *, base: str, id: str) -> DocumentDetails:
    variables = {"base": base, "id": id}
    response = await client.graphql(GET_DOCUMENT, GetDocumentResponse, variables)
    return response.document


SEARCH_PASSAGES = """\
query SearchPassages($base: String!, $query: String!, $limit: Int, $mode: SearchMode, $maxDataClass: DataClass) {
passages( base: $base query: $query limit: $limit mode: $mode maxDataClass: $maxDataClass ) { ...PassageSearch } }
fragment PassageSearch on PassageSearch { results { ...SearchResult } warnings } fragment SearchResult on SearchResult {
id document source title text score page pages headings start end dataClass suspect citation }
"""


class SearchPassagesResponse(Struct, frozen=True, rename="camel"):
    passages: PassageSearch


async def search_passages(
    client: ApiClient,
    *,
    base: str,
    query: str,
    limit: int | UnsetType | None = UNSET,
    mode: SearchMode | UnsetType | None = UNSET,
    max_data_class: DataClass | UnsetType | None = UNSET,
) -> PassageSearch:
    variables = {"base": base, "query": query, "limit": limit, "mode": mode, "maxDataClass": max_data_class}
    response = await client.graphql(SEARCH_PASSAGES, SearchPassagesResponse, variables)
    return response.passages


ADD_DOCUMENT = """\
mutation AddDocument($base: String!, $source: String!, $data: String, $url: String, $sha256: String, $document: JSON,
$readers: [String!], $dataClass: DataClass) { addDocument( base: $base source: $source data: $data url: $url sha256:
$sha256 document: $document readers: $readers dataClass: $dataClass ) { ...IngestedDocument } } fragment
IngestedDocument on IngestedDocument { source id outcome passages quarantined notes }
"""


class AddDocumentResponse(Struct, frozen=True, rename="camel"):
    add_document: IngestedDocument


async def add_document(
    client: ApiClient,
    *,
    base: str,
    source: str,
    data: str | UnsetType | None = UNSET,
    url: str | UnsetType | None = UNSET,
    sha256: str | UnsetType | None = UNSET,
    document: JSON | UnsetType | None = UNSET,
    readers: Sequence[str] | UnsetType | None = UNSET,
    data_class: DataClass | UnsetType | None = UNSET,
) -> IngestedDocument:
    variables = {
        "base": base,
        "source": source,
        "data": data,
        "url": url,
        "sha256": sha256,
        "document": document,
        "readers": readers,
        "dataClass": data_class,
    }
    response = await client.graphql(ADD_DOCUMENT, AddDocumentResponse, variables)
    return response.add_document


EMBED_DOCUMENTS = """\
mutation EmbedDocuments($base: String!) { embedDocuments(base: $base) { embedded waiting } }
"""


class EmbedDocumentsResult(Struct, frozen=True, rename="camel"):
    embedded: int
    waiting: int


class EmbedDocumentsResponse(Struct, frozen=True, rename="camel"):
    embed_documents: EmbedDocumentsResult


async def embed_documents(client: ApiClient, *, base: str) -> EmbedDocumentsResult:
    variables = {"base": base}
    response = await client.graphql(EMBED_DOCUMENTS, EmbedDocumentsResponse, variables)
    return response.embed_documents


REBUILD_KNOWLEDGE = """\
mutation RebuildKnowledge($base: String!, $all: Boolean!, $dryRun: Boolean!, $after: String!) { rebuildKnowledge(base:
$base, all: $all, dryRun: $dryRun, after: $after) { checked missing total model previousModel next } }
"""


class RebuildKnowledgeResult(Struct, frozen=True, rename="camel"):
    checked: int
    missing: int
    total: int
    model: str
    previous_model: str
    next: str


class RebuildKnowledgeResponse(Struct, frozen=True, rename="camel"):
    rebuild_knowledge: RebuildKnowledgeResult


async def rebuild_knowledge(
    client: ApiClient,
    *,
    base: str,
    all: bool,
    dry_run: bool,
    after: str,
) -> RebuildKnowledgeResult:
    variables = {"base": base, "all": all, "dryRun": dry_run, "after": after}
    response = await client.graphql(REBUILD_KNOWLEDGE, RebuildKnowledgeResponse, variables)
    return response.rebuild_knowledge


SYNC_KNOWLEDGE = """\
mutation SyncKnowledge($base: String!, $readers: [String!], $dataClass: DataClass) { syncKnowledge(base: $base, readers:
$readers, dataClass: $dataClass) { ...SyncedKnowledge } } fragment SyncedKnowledge on SyncKnowledgePayload { ingested {
...IngestedDocument } removed failed { ...FailedSource } } fragment IngestedDocument on IngestedDocument { source id
outcome passages quarantined notes } fragment FailedSource on FailedSource { source why }
"""


class SyncKnowledgeResponse(Struct, frozen=True, rename="camel"):
    sync_knowledge: SyncedKnowledge


async def sync_knowledge(
    client: ApiClient,
    *,
    base: str,
    readers: Sequence[str] | UnsetType | None = UNSET,
    data_class: DataClass | UnsetType | None = UNSET,
) -> SyncedKnowledge:
    variables = {"base": base, "readers": readers, "dataClass": data_class}
    response = await client.graphql(SYNC_KNOWLEDGE, SyncKnowledgeResponse, variables)
    return response.sync_knowledge


REMOVE_DOCUMENT = """\
mutation RemoveDocument($base: String!, $id: String!) { removeDocument(base: $base, id: $id) }
"""


class RemoveDocumentResponse(Struct, frozen=True, rename="camel"):
    remove_document: bool


async def remove_document(client: ApiClient, *, base: str, id: str) -> bool:
    variables = {"base": base, "id": id}
    response = await client.graphql(REMOVE_DOCUMENT, RemoveDocumentResponse, variables)
    return response.remove_document


REMOVE_KNOWLEDGE = """\
mutation RemoveKnowledge($base: String!) { removeKnowledge(base: $base) }
"""


class RemoveKnowledgeResponse(Struct, frozen=True, rename="camel"):
    remove_knowledge: bool


async def remove_knowledge(client: ApiClient, *, base: str) -> bool:
    variables = {"base": base}
    response = await client.graphql(REMOVE_KNOWLEDGE, RemoveKnowledgeResponse, variables)
    return response.remove_knowledge


APPROVE_DOCUMENT = """\
mutation ApproveDocument($base: String!, $id: String!) { approveDocument(base: $base, id: $id) { passages } }
"""


class ApproveDocumentResult(Struct, frozen=True, rename="camel"):
    passages: int


class ApproveDocumentResponse(Struct, frozen=True, rename="camel"):
    approve_document: ApproveDocumentResult


async def approve_document(client: ApiClient, *, base: str, id: str) -> ApproveDocumentResult:
    variables = {"base": base, "id": id}
    response = await client.graphql(APPROVE_DOCUMENT, ApproveDocumentResponse, variables)
    return response.approve_document


LIST_MODELS = """\
query ListModels { modelAliases models { ...ModelSummary } } fragment ModelSummary on Model { name size place state
context task price { ...PriceSummary } queue { ...ModelQueue } } fragment PriceSummary on Price { input output }
fragment ModelQueue on ModelQueue { busy waiting predictedWaitS }
"""


class ListModelsResponse(Struct, frozen=True, rename="camel"):
    model_aliases: list[str]
    models: list[ModelSummary]


async def list_models(client: ApiClient) -> ListModelsResponse:
    return await client.graphql(LIST_MODELS, ListModelsResponse)


LIST_CATALOG = """\
query ListCatalog { catalog { ...CatalogSummary } } fragment CatalogSummary on CatalogModel { name vendor task size
parameters context license unverified offers { price { ...PriceSummary } } } fragment PriceSummary on Price { input
output }
"""


class ListCatalogResponse(Struct, frozen=True, rename="camel"):
    catalog: list[CatalogSummary]


async def list_catalog(client: ApiClient) -> list[CatalogSummary]:
    response = await client.graphql(LIST_CATALOG, ListCatalogResponse)
    return response.catalog


GET_MODEL = """\
query GetModel($name: String!) { model(name: $name) { ...ModelDetails } catalogModel(name: $name) { ...CatalogModel } }
fragment ModelDetails on Model { name provider task size place state parameters context maxOutput inputModalities tools
logprobs prefill quality license slots queue { ...ModelQueue } pace { ...ModelPace } price { ...Price } weights {
...Weights } facts { ...Fact } } fragment ModelQueue on ModelQueue { busy waiting predictedWaitS } fragment ModelPace on
ModelPace { load requests firstTokenS promptTokensPerS outputTokensPerS } fragment Price on Price { input output cached
cacheWrite cacheWrite1h reasoning perSecond perCharacter perImage perRequest source date } fragment Weights on Weights {
file bytes sha256 path } fragment Fact on Fact { name value source } fragment CatalogModel on CatalogModel { name title
vendor task size names parameters context license unverified facts { ...CatalogFact } memory { ...MemoryEstimate }
offers { ...Offer } } fragment CatalogFact on CatalogFact { name value source date unverified } fragment MemoryEstimate
on MemoryEstimate { quantization tokens bytes } fragment Offer on Offer { name price { ...Price } conditions }
"""


class GetModelResponse(Struct, frozen=True, rename="camel"):
    model: ModelDetails
    catalog_model: CatalogModel | None


async def get_model(client: ApiClient, *, name: str) -> GetModelResponse:
    variables = {"name": name}
    return await client.graphql(GET_MODEL, GetModelResponse, variables)


GET_CATALOG_MODEL = """\
query GetCatalogModel($name: String!) { catalogModel(name: $name) { ...CatalogModel } } fragment CatalogModel on
CatalogModel { name title vendor task size names parameters context license unverified facts { ...CatalogFact } memory {
...MemoryEstimate } offers { ...Offer } } fragment CatalogFact on CatalogFact { name value source date unverified }
fragment MemoryEstimate on MemoryEstimate { quantization tokens bytes } fragment Offer on Offer { name price { ...Price
} conditions } fragment Price on Price { input output cached cacheWrite cacheWrite1h reasoning perSecond perCharacter
perImage perRequest source date }
"""


class GetCatalogModelResponse(Struct, frozen=True, rename="camel"):
    catalog_model: CatalogModel | None


async def get_catalog_model(client: ApiClient, *, name: str) -> CatalogModel | None:
    variables = {"name": name}
    response = await client.graphql(GET_CATALOG_MODEL, GetCatalogModelResponse, variables)
    return response.catalog_model


CREATE_ORGANIZATION = """\
mutation CreateOrganization($id: String!, $email: String!, $name: String!) { createOrganization(id: $id, email: $email,
name: $name) { ...NewInvitation } } fragment NewInvitation on NewInvitation { token invitation { ...Invitation } }
fragment Invitation on Invitation { id email role project invitedBy created expires used }
"""


class CreateOrganizationResponse(Struct, frozen=True, rename="camel"):
    create_organization: NewInvitation


async def create_organization(client: ApiClient, *, id: str, email: str, name: str) -> NewInvitation:
    variables = {"id": id, "email": email, "name": name}
    response = await client.graphql(CREATE_ORGANIZATION, CreateOrganizationResponse, variables)
    return response.create_organization


LIST_USERS = """\
query ListUsers { users { ...User } } fragment User on User { id email name role projects { ...Membership } created
disabled state } fragment Membership on Membership { project role }
"""


class ListUsersResponse(Struct, frozen=True, rename="camel"):
    users: list[User]


async def list_users(client: ApiClient) -> list[User]:
    response = await client.graphql(LIST_USERS, ListUsersResponse)
    return response.users


LIST_INVITATIONS = """\
query ListInvitations { invitations { ...Invitation } } fragment Invitation on Invitation { id email role project
invitedBy created expires used }
"""


class ListInvitationsResponse(Struct, frozen=True, rename="camel"):
    invitations: list[Invitation]


async def list_invitations(client: ApiClient) -> list[Invitation]:
    response = await client.graphql(LIST_INVITATIONS, ListInvitationsResponse)
    return response.invitations


LIST_SIGN_IN_SESSIONS = """\
query ListSignInSessions { signInSessions { ...SignInSession } } fragment SignInSession on SignInSession { id user email
project created lastSeen expires method secondFactor device network }
"""


class ListSignInSessionsResponse(Struct, frozen=True, rename="camel"):
    sign_in_sessions: list[SignInSession]


async def list_sign_in_sessions(client: ApiClient) -> list[SignInSession]:
    response = await client.graphql(LIST_SIGN_IN_SESSIONS, ListSignInSessionsResponse)
    return response.sign_in_sessions


INVITE_USER = """\
mutation InviteUser($email: String!, $role: String, $project: String, $days: Float!) { inviteUser(email: $email, role:
$role, project: $project, days: $days) { ...NewInvitation } } fragment NewInvitation on NewInvitation { token invitation
{ ...Invitation } } fragment Invitation on Invitation { id email role project invitedBy created expires used }
"""


class InviteUserResponse(Struct, frozen=True, rename="camel"):
    invite_user: NewInvitation


async def invite_user(
    client: ApiClient,
    *,
    email: str,
    days: float,
    role: str | UnsetType | None = UNSET,
    project: str | UnsetType | None = UNSET,
) -> NewInvitation:
    variables = {"email": email, "role": role, "project": project, "days": days}
    response = await client.graphql(INVITE_USER, InviteUserResponse, variables)
    return response.invite_user


WITHDRAW_INVITATION = """\
mutation WithdrawInvitation($id: String!) { withdrawInvitation(id: $id) { id } }
"""


class WithdrawInvitationResult(Struct, frozen=True, rename="camel"):
    id: str


class WithdrawInvitationResponse(Struct, frozen=True, rename="camel"):
    withdraw_invitation: WithdrawInvitationResult


async def withdraw_invitation(client: ApiClient, *, id: str) -> WithdrawInvitationResult:
    variables = {"id": id}
    response = await client.graphql(WITHDRAW_INVITATION, WithdrawInvitationResponse, variables)
    return response.withdraw_invitation


SET_ROLE = """\
mutation SetRole($id: String!, $role: String!, $project: String) { setRole(id: $id, role: $role, project: $project) {
...User } } fragment User on User { id email name role projects { ...Membership } created disabled state } fragment
Membership on Membership { project role }
"""


class SetRoleResponse(Struct, frozen=True, rename="camel"):
    set_role: User


async def set_role(client: ApiClient, *, id: str, role: str, project: str | UnsetType | None = UNSET) -> User:
    variables = {"id": id, "role": role, "project": project}
    response = await client.graphql(SET_ROLE, SetRoleResponse, variables)
    return response.set_role


DISABLE_USER = """\
mutation DisableUser($id: String!, $revokeKeys: Boolean!) { disableUser(id: $id, revokeKeys: $revokeKeys) {
...DisabledUser } } fragment DisabledUser on User { ...User serviceKeys { ...ServiceKey } } fragment User on User { id
email name role projects { ...Membership } created disabled state } fragment Membership on Membership { project role }
fragment ServiceKey on Key { id name }
"""


class DisableUserResponse(Struct, frozen=True, rename="camel"):
    disable_user: DisabledUser


async def disable_user(client: ApiClient, *, id: str, revoke_keys: bool) -> DisabledUser:
    variables = {"id": id, "revokeKeys": revoke_keys}
    response = await client.graphql(DISABLE_USER, DisableUserResponse, variables)
    return response.disable_user


ENABLE_USER = """\
mutation EnableUser($id: String!) { enableUser(id: $id) { ...User } } fragment User on User { id email name role
projects { ...Membership } created disabled state } fragment Membership on Membership { project role }
"""


class EnableUserResponse(Struct, frozen=True, rename="camel"):
    enable_user: User


async def enable_user(client: ApiClient, *, id: str) -> User:
    variables = {"id": id}
    response = await client.graphql(ENABLE_USER, EnableUserResponse, variables)
    return response.enable_user


SIGN_OUT = """\
mutation SignOut($user: String, $session: String) { signOut(user: $user, session: $session) { id } }
"""


class SignOutResult(Struct, frozen=True, rename="camel"):
    id: str


class SignOutResponse(Struct, frozen=True, rename="camel"):
    sign_out: SignOutResult


async def sign_out(
    client: ApiClient,
    *,
    user: str | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
) -> SignOutResult:
    variables = {"user": user, "session": session}
    response = await client.graphql(SIGN_OUT, SignOutResponse, variables)
    return response.sign_out


RESET_SECOND_FACTOR = """\
mutation ResetSecondFactor($user: String!) { resetSecondFactor(user: $user) { id } }
"""


class ResetSecondFactorResult(Struct, frozen=True, rename="camel"):
    id: str


class ResetSecondFactorResponse(Struct, frozen=True, rename="camel"):
    reset_second_factor: ResetSecondFactorResult


async def reset_second_factor(client: ApiClient, *, user: str) -> ResetSecondFactorResult:
    variables = {"user": user}
    response = await client.graphql(RESET_SECOND_FACTOR, ResetSecondFactorResponse, variables)
    return response.reset_second_factor


RELEASE_EMAIL = """\
mutation ReleaseEmail($email: String!) { releaseEmail(email: $email) { id } }
"""


class ReleaseEmailResult(Struct, frozen=True, rename="camel"):
    id: str


class ReleaseEmailResponse(Struct, frozen=True, rename="camel"):
    release_email: ReleaseEmailResult


async def release_email(client: ApiClient, *, email: str) -> ReleaseEmailResult:
    variables = {"email": email}
    response = await client.graphql(RELEASE_EMAIL, ReleaseEmailResponse, variables)
    return response.release_email


LIST_RECORDS = """\
query ListRecords($last: Int, $before: String, $since: Timestamp, $until: Timestamp, $model: String, $requestedModel:
String, $policy: String, $endpoint: String, $key: String, $project: String, $status: Int, $error: String, $failed:
Boolean, $session: String, $endUser: String, $tag: String, $flow: String, $agent: String, $minCost: Dollars, $minMs:
Float) { records( last: $last before: $before filter: { since: $since until: $until model: $model requestedModel:
$requestedModel policy: $policy endpoint: $endpoint key: $key project: $project status: $status error: $error failed:
$failed session: $session endUser: $endUser tag: $tag flow: $flow agent: $agent minCost: $minCost minMs: $minMs } ) {
rows { ...Record } before scannedTo } } fragment Record on Record { trace spanId at endpoint key project requestedModel
policy model why status error stream degraded freshness guardrails dataClass tokens { ...Tokens } costUsd energy {
...Energy } audioSeconds characters images firstTokenMs totalMs attemptCount session endUser tags prompts { ...PromptUse
} environment release arm parentSpan flow node agent } fragment Tokens on Tokens { input output cached cacheWrite
reasoning estimated } fragment Energy on Energy { wh estimated how } fragment PromptUse on PromptUse { id version }
"""


class ListRecordsResult(Struct, frozen=True, rename="camel"):
    rows: list[Record]
    before: str | None
    scanned_to: Timestamp | None


class ListRecordsResponse(Struct, frozen=True, rename="camel"):
    records: ListRecordsResult


async def list_records(
    client: ApiClient,
    *,
    last: int | UnsetType | None = UNSET,
    before: str | UnsetType | None = UNSET,
    since: Timestamp | UnsetType | None = UNSET,
    until: Timestamp | UnsetType | None = UNSET,
    model: str | UnsetType | None = UNSET,
    requested_model: str | UnsetType | None = UNSET,
    policy: str | UnsetType | None = UNSET,
    endpoint: str | UnsetType | None = UNSET,
    key: str | UnsetType | None = UNSET,
    project: str | UnsetType | None = UNSET,
    status: int | UnsetType | None = UNSET,
    error: str | UnsetType | None = UNSET,
    failed: bool | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
    end_user: str | UnsetType | None = UNSET,
    tag: str | UnsetType | None = UNSET,
    flow: str | UnsetType | None = UNSET,
    agent: str | UnsetType | None = UNSET,
    min_cost: Dollars | UnsetType | None = UNSET,
    min_ms: float | UnsetType | None = UNSET,
) -> ListRecordsResult:
    variables = {
        "last": last,
        "before": before,
        "since": since,
        "until": until,
        "model": model,
        "requestedModel": requested_model,
        "policy": policy,
        "endpoint": endpoint,
        "key": key,
        "project": project,
        "status": status,
        "error": error,
        "failed": failed,
        "session": session,
        "endUser": end_user,
        "tag": tag,
        "flow": flow,
        "agent": agent,
        "minCost": min_cost,
        "minMs": min_ms,
    }
    response = await client.graphql(LIST_RECORDS, ListRecordsResponse, variables)
    return response.records


EXPORT_RECORDS = """\
query ExportRecords($last: Int, $before: String, $since: Timestamp, $until: Timestamp, $model: String, $requestedModel:
String, $policy: String, $endpoint: String, $key: String, $project: String, $status: Int, $error: String, $failed:
Boolean, $session: String, $endUser: String, $tag: String, $flow: String, $agent: String, $minCost: Dollars, $minMs:
Float) { records( last: $last before: $before filter: { since: $since until: $until model: $model requestedModel:
$requestedModel policy: $policy endpoint: $endpoint key: $key project: $project status: $status error: $error failed:
$failed session: $session endUser: $endUser tag: $tag flow: $flow agent: $agent minCost: $minCost minMs: $minMs } ) {
rows { ...RecordDetails } before scannedTo } } fragment RecordDetails on Record { ...Record attempts { ...Attempt }
scores { ...Score } } fragment Record on Record { trace spanId at endpoint key project requestedModel policy model why
status error stream degraded freshness guardrails dataClass tokens { ...Tokens } costUsd energy { ...Energy }
audioSeconds characters images firstTokenMs totalMs attemptCount session endUser tags prompts { ...PromptUse }
environment release arm parentSpan flow node agent } fragment Tokens on Tokens { input output cached cacheWrite
reasoning estimated } fragment Energy on Energy { wh estimated how } fragment PromptUse on PromptUse { id version }
fragment Attempt on Attempt { number model place result why score threshold error tokens { ...Tokens } costUsd startedMs
firstTokenMs endedMs } fragment Score on Score { id target targetId name value label source scorer author at weight
blind trace session model commented }
"""


class ExportRecordsResult(Struct, frozen=True, rename="camel"):
    rows: list[RecordDetails]
    before: str | None
    scanned_to: Timestamp | None


class ExportRecordsResponse(Struct, frozen=True, rename="camel"):
    records: ExportRecordsResult


async def export_records(
    client: ApiClient,
    *,
    last: int | UnsetType | None = UNSET,
    before: str | UnsetType | None = UNSET,
    since: Timestamp | UnsetType | None = UNSET,
    until: Timestamp | UnsetType | None = UNSET,
    model: str | UnsetType | None = UNSET,
    requested_model: str | UnsetType | None = UNSET,
    policy: str | UnsetType | None = UNSET,
    endpoint: str | UnsetType | None = UNSET,
    key: str | UnsetType | None = UNSET,
    project: str | UnsetType | None = UNSET,
    status: int | UnsetType | None = UNSET,
    error: str | UnsetType | None = UNSET,
    failed: bool | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
    end_user: str | UnsetType | None = UNSET,
    tag: str | UnsetType | None = UNSET,
    flow: str | UnsetType | None = UNSET,
    agent: str | UnsetType | None = UNSET,
    min_cost: Dollars | UnsetType | None = UNSET,
    min_ms: float | UnsetType | None = UNSET,
) -> ExportRecordsResult:
    variables = {
        "last": last,
        "before": before,
        "since": since,
        "until": until,
        "model": model,
        "requestedModel": requested_model,
        "policy": policy,
        "endpoint": endpoint,
        "key": key,
        "project": project,
        "status": status,
        "error": error,
        "failed": failed,
        "session": session,
        "endUser": end_user,
        "tag": tag,
        "flow": flow,
        "agent": agent,
        "minCost": min_cost,
        "minMs": min_ms,
    }
    response = await client.graphql(EXPORT_RECORDS, ExportRecordsResponse, variables)
    return response.records


GET_RECORD = """\
query GetRecord($trace: String!) { records(filter: { trace: $trace }, last: 100) { rows { ...RecordDetails } } }
fragment RecordDetails on Record { ...Record attempts { ...Attempt } scores { ...Score } } fragment Record on Record {
trace spanId at endpoint key project requestedModel policy model why status error stream degraded freshness guardrails
dataClass tokens { ...Tokens } costUsd energy { ...Energy } audioSeconds characters images firstTokenMs totalMs
attemptCount session endUser tags prompts { ...PromptUse } environment release arm parentSpan flow node agent } fragment
Tokens on Tokens { input output cached cacheWrite reasoning estimated } fragment Energy on Energy { wh estimated how }
fragment PromptUse on PromptUse { id version } fragment Attempt on Attempt { number model place result why score
threshold error tokens { ...Tokens } costUsd startedMs firstTokenMs endedMs } fragment Score on Score { id target
targetId name value label source scorer author at weight blind trace session model commented }
"""


class GetRecordResult(Struct, frozen=True, rename="camel"):
    rows: list[RecordDetails]


class GetRecordResponse(Struct, frozen=True, rename="camel"):
    records: GetRecordResult


async def get_record(client: ApiClient, *, trace: str) -> GetRecordResult:
    variables = {"trace": trace}
    response = await client.graphql(GET_RECORD, GetRecordResponse, variables)
    return response.records


GET_TRACE = """\
query GetTrace($id: String!) { trace(id: $id) { spans { ...Span } } } fragment Span on Span { id parent depth operation
name kind at totalMs error model tokens { ...Tokens } costUsd } fragment Tokens on Tokens { input output cached
cacheWrite reasoning estimated }
"""


class GetTraceResult(Struct, frozen=True, rename="camel"):
    spans: list[Span]


class GetTraceResponse(Struct, frozen=True, rename="camel"):
    trace: GetTraceResult | None


async def get_trace(client: ApiClient, *, id: str) -> GetTraceResult | None:
    variables = {"id": id}
    response = await client.graphql(GET_TRACE, GetTraceResponse, variables)
    return response.trace


GET_RECORD_CONTENTS = """\
query GetRecordContents($trace: String!) { records(filter: { trace: $trace }, last: 100) { rows { ...RecordWithContents
} } } fragment RecordWithContents on Record { trace spanId endpoint contents { ...RecordContents } } fragment
RecordContents on RecordContents { request response truncated }
"""


class GetRecordContentsResult(Struct, frozen=True, rename="camel"):
    rows: list[RecordWithContents]


class GetRecordContentsResponse(Struct, frozen=True, rename="camel"):
    records: GetRecordContentsResult


async def get_record_contents(client: ApiClient, *, trace: str) -> GetRecordContentsResult:
    variables = {"trace": trace}
    response = await client.graphql(GET_RECORD_CONTENTS, GetRecordContentsResponse, variables)
    return response.records


LIST_SCORES = """\
query ListScores($last: Int, $before: String, $name: String, $source: ScoreSource, $trace: String, $session: String,
$model: String, $since: Timestamp) { scores( last: $last before: $before filter: { name: $name source: $source trace:
$trace session: $session model: $model since: $since } ) { rows { ...Score } before } } fragment Score on Score { id
target targetId name value label source scorer author at weight blind trace session model commented }
"""


class ListScoresResult(Struct, frozen=True, rename="camel"):
    rows: list[Score]
    before: str | None


class ListScoresResponse(Struct, frozen=True, rename="camel"):
    scores: ListScoresResult


async def list_scores(
    client: ApiClient,
    *,
    last: int | UnsetType | None = UNSET,
    before: str | UnsetType | None = UNSET,
    name: str | UnsetType | None = UNSET,
    source: ScoreSource | UnsetType | None = UNSET,
    trace: str | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
    model: str | UnsetType | None = UNSET,
    since: Timestamp | UnsetType | None = UNSET,
) -> ListScoresResult:
    variables = {
        "last": last,
        "before": before,
        "name": name,
        "source": source,
        "trace": trace,
        "session": session,
        "model": model,
        "since": since,
    }
    response = await client.graphql(LIST_SCORES, ListScoresResponse, variables)
    return response.scores


ADD_SCORE = """\
mutation AddScore($trace: String, $span: String, $session: String, $name: String!, $value: Float, $label: String,
$source: ScoreSource!, $scorer: String, $comment: String) { score( trace: $trace span: $span session: $session name:
$name value: $value label: $label source: $source scorer: $scorer comment: $comment ) { ...Score } } fragment Score on
Score { id target targetId name value label source scorer author at weight blind trace session model commented }
"""


class AddScoreResponse(Struct, frozen=True, rename="camel"):
    score: Score


async def add_score(
    client: ApiClient,
    *,
    name: str,
    source: ScoreSource,
    trace: str | UnsetType | None = UNSET,
    span: str | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
    value: float | UnsetType | None = UNSET,
    label: str | UnsetType | None = UNSET,
    scorer: str | UnsetType | None = UNSET,
    comment: str | UnsetType | None = UNSET,
) -> Score:
    variables = {
        "trace": trace,
        "span": span,
        "session": session,
        "name": name,
        "value": value,
        "label": label,
        "source": source,
        "scorer": scorer,
        "comment": comment,
    }
    response = await client.graphql(ADD_SCORE, AddScoreResponse, variables)
    return response.score


LIST_ANNOTATION_QUEUES = """\
query ListAnnotationQueues { annotationQueues { ...QueueCounts } } fragment QueueCounts on AnnotationQueue { name needed
done mine }
"""


class ListAnnotationQueuesResponse(Struct, frozen=True, rename="camel"):
    annotation_queues: list[QueueCounts]


async def list_annotation_queues(client: ApiClient) -> list[QueueCounts]:
    response = await client.graphql(LIST_ANNOTATION_QUEUES, ListAnnotationQueuesResponse)
    return response.annotation_queues


GET_LABEL_AGREEMENT = """\
query GetLabelAgreement($name: String!) { annotationQueue(name: $name) { agreement { ...LabelAgreement } } } fragment
LabelAgreement on LabelAgreement { score items agreed kappa low high }
"""


class GetLabelAgreementResult(Struct, frozen=True, rename="camel"):
    agreement: list[LabelAgreement]


class GetLabelAgreementResponse(Struct, frozen=True, rename="camel"):
    annotation_queue: GetLabelAgreementResult


async def get_label_agreement(client: ApiClient, *, name: str) -> GetLabelAgreementResult:
    variables = {"name": name}
    response = await client.graphql(GET_LABEL_AGREEMENT, GetLabelAgreementResponse, variables)
    return response.annotation_queue


GET_ANNOTATION_QUEUE = """\
query GetAnnotationQueue($name: String!) { annotationQueue(name: $name) { ...AnnotationQueue } } fragment
AnnotationQueue on AnnotationQueue { ...QueueCounts rubric labels wanted rules next { ...AnnotationItem } labeled {
...AnnotationItem } } fragment QueueCounts on AnnotationQueue { name needed done mine } fragment AnnotationItem on
AnnotationItem { id input answers expected criteria options { ...AnnotationScore } expires } fragment AnnotationScore on
AnnotationScore { name words }
"""


class GetAnnotationQueueResponse(Struct, frozen=True, rename="camel"):
    annotation_queue: AnnotationQueue


async def get_annotation_queue(client: ApiClient, *, name: str) -> AnnotationQueue:
    variables = {"name": name}
    response = await client.graphql(GET_ANNOTATION_QUEUE, GetAnnotationQueueResponse, variables)
    return response.annotation_queue


ANNOTATE = """\
mutation Annotate($queue: String!, $item: String!, $scores: JSON, $comment: String, $skip: AnnotationSkip) { annotate(
queue: $queue item: $item scores: $scores comment: $comment skip: $skip ) { ...Annotated } } fragment Annotated on
AnnotatePayload { next { ...AnnotationItem } needed done mine } fragment AnnotationItem on AnnotationItem { id input
answers expected criteria options { ...AnnotationScore } expires } fragment AnnotationScore on AnnotationScore { name
words }
"""


class AnnotateResponse(Struct, frozen=True, rename="camel"):
    annotate: Annotated


async def annotate(
    client: ApiClient,
    *,
    queue: str,
    item: str,
    scores: JSON | UnsetType | None = UNSET,
    comment: str | UnsetType | None = UNSET,
    skip: AnnotationSkip | UnsetType | None = UNSET,
) -> Annotated:
    variables = {"queue": queue, "item": item, "scores": scores, "comment": comment, "skip": skip}
    response = await client.graphql(ANNOTATE, AnnotateResponse, variables)
    return response.annotate


ADD_ANNOTATION_ITEMS = """\
mutation AddAnnotationItems($queue: String!, $items: JSON!) { addAnnotationItems(queue: $queue, items: $items) {
...AddedAnnotationItems } } fragment AddedAnnotationItems on AddAnnotationItemsPayload { added known }
"""


class AddAnnotationItemsResponse(Struct, frozen=True, rename="camel"):
    add_annotation_items: AddedAnnotationItems


async def add_annotation_items(client: ApiClient, *, queue: str, items: JSON) -> AddedAnnotationItems:
    variables = {"queue": queue, "items": items}
    response = await client.graphql(ADD_ANNOTATION_ITEMS, AddAnnotationItemsResponse, variables)
    return response.add_annotation_items


LIST_ANNOTATION_LABELS = """\
query ListAnnotationLabels($queue: String!, $first: Int, $after: Int) { annotationLabels(queue: $queue, first: $first,
after: $after) { ...AnnotationLabel } } fragment AnnotationLabel on AnnotationLabel { number ref score input answer
expected criteria label value blind probability }
"""


class ListAnnotationLabelsResponse(Struct, frozen=True, rename="camel"):
    annotation_labels: list[AnnotationLabel]


async def list_annotation_labels(
    client: ApiClient,
    *,
    queue: str,
    first: int | UnsetType | None = UNSET,
    after: int | UnsetType | None = UNSET,
) -> list[AnnotationLabel]:
    variables = {"queue": queue, "first": first, "after": after}
    response = await client.graphql(LIST_ANNOTATION_LABELS, ListAnnotationLabelsResponse, variables)
    return response.annotation_labels


SEND_FEEDBACK = """\
mutation SendFeedback($trace: String!, $score: Float!, $kind: String!) { feedback(trace: $trace, score: $score, kind:
$kind) { ...Feedback } } fragment Feedback on Feedback { trace policy model kind score }
"""


class SendFeedbackResponse(Struct, frozen=True, rename="camel"):
    feedback: list[Feedback]


async def send_feedback(client: ApiClient, *, trace: str, score: float, kind: str) -> list[Feedback]:
    variables = {"trace": trace, "score": score, "kind": kind}
    response = await client.graphql(SEND_FEEDBACK, SendFeedbackResponse, variables)
    return response.feedback


ERASE_PERSONAL_DATA = """\
mutation ErasePersonalData($user: String, $key: String, $session: String, $endUser: String, $dryRun: Boolean!) {
erasePersonalData( user: $user key: $key session: $session endUser: $endUser dryRun: $dryRun ) { ...ErasedPersonalData }
} fragment ErasedPersonalData on ErasePersonalDataPayload { dryRun rows { ...PersonalRows } } fragment PersonalRows on
PersonalRows { kind count }
"""


class ErasePersonalDataResponse(Struct, frozen=True, rename="camel"):
    erase_personal_data: ErasedPersonalData


async def erase_personal_data(
    client: ApiClient,
    *,
    dry_run: bool,
    user: str | UnsetType | None = UNSET,
    key: str | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
    end_user: str | UnsetType | None = UNSET,
) -> ErasedPersonalData:
    variables = {"user": user, "key": key, "session": session, "endUser": end_user, "dryRun": dry_run}
    response = await client.graphql(ERASE_PERSONAL_DATA, ErasePersonalDataResponse, variables)
    return response.erase_personal_data


ERASE_RECORDS = """\
mutation EraseRecords($key: String!) { eraseRecords(key: $key) { ...ErasedRecords } } fragment ErasedRecords on
EraseRecordsPayload { records contents feedback }
"""


class EraseRecordsResponse(Struct, frozen=True, rename="camel"):
    erase_records: ErasedRecords


async def erase_records(client: ApiClient, *, key: str) -> ErasedRecords:
    variables = {"key": key}
    response = await client.graphql(ERASE_RECORDS, EraseRecordsResponse, variables)
    return response.erase_records


EXPLAIN = """\
query Explain($prompt: String!, $model: String!, $policy: String, $maxTokens: Int, $maxCostUsd: Dollars, $maxMs: Int,
$dataClass: DataClass, $online: Online, $session: String) { explain( prompt: $prompt model: $model policy: $policy
maxTokens: $maxTokens maxCostUsd: $maxCostUsd maxMs: $maxMs dataClass: $dataClass online: $online session: $session ) {
...Explanation } } fragment Explanation on Explanation { requestedModel policy dataClass tokens language freshness why
error reasons candidates { ...Candidate } steps { ...RoutingStep } } fragment Candidate on Candidate { model size place
eligible why costUsd expectedS effort thinkingTokens countedTokens } fragment RoutingStep on RoutingStep { models action
why threshold onAverage }
"""


class ExplainResponse(Struct, frozen=True, rename="camel"):
    explain: Explanation


async def explain(
    client: ApiClient,
    *,
    prompt: str,
    model: str,
    policy: str | UnsetType | None = UNSET,
    max_tokens: int | UnsetType | None = UNSET,
    max_cost_usd: Dollars | UnsetType | None = UNSET,
    max_ms: int | UnsetType | None = UNSET,
    data_class: DataClass | UnsetType | None = UNSET,
    online: Online | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
) -> Explanation:
    variables = {
        "prompt": prompt,
        "model": model,
        "policy": policy,
        "maxTokens": max_tokens,
        "maxCostUsd": max_cost_usd,
        "maxMs": max_ms,
        "dataClass": data_class,
        "online": online,
        "session": session,
    }
    response = await client.graphql(EXPLAIN, ExplainResponse, variables)
    return response.explain


GET_QUALITY = """\
query GetQuality($policy: String) { quality(policy: $policy) { ...PolicyQuality } } fragment PolicyQuality on
PolicyQuality { policy certified samples unjudged loss lossLow lossHigh since violated feedback { ...FeedbackSummary } }
fragment FeedbackSummary on FeedbackSummary { model kind count mean }
"""


class GetQualityResponse(Struct, frozen=True, rename="camel"):
    quality: list[PolicyQuality]


async def get_quality(client: ApiClient, *, policy: str | UnsetType | None = UNSET) -> list[PolicyQuality]:
    variables = {"policy": policy}
    response = await client.graphql(GET_QUALITY, GetQualityResponse, variables)
    return response.quality


GET_USAGE = """\
query GetUsage($since: Timestamp, $until: Timestamp, $step: Int, $by: [UsageKey!], $first: Int, $project: String,
$endpoint: String, $flow: String, $node: String, $policy: String, $model: String, $key: String, $user: String, $session:
String, $release: String, $endUser: String, $tag: String, $status: Int) { usage( since: $since until: $until step: $step
by: $by first: $first filter: { project: $project endpoint: $endpoint flow: $flow node: $node policy: $policy model:
$model key: $key user: $user session: $session release: $release endUser: $endUser tag: $tag status: $status } ) {
...Usage } } fragment Usage on Usage { since until asOf rows { ...UsageRow } total { ...UsageSums } folded { count
requests costUsd } } fragment UsageRow on UsageRow { key at requests errors degraded unpriced attempts tokens {
...Tokens } costUsd p50Ms p95Ms } fragment Tokens on Tokens { input output cached cacheWrite reasoning estimated }
fragment UsageSums on UsageSums { requests errors degraded unpriced attempts tokens { ...Tokens } costUsd p50Ms p95Ms }
"""


class GetUsageResponse(Struct, frozen=True, rename="camel"):
    usage: Usage


async def get_usage(
    client: ApiClient,
    *,
    since: Timestamp | UnsetType | None = UNSET,
    until: Timestamp | UnsetType | None = UNSET,
    step: int | UnsetType | None = UNSET,
    by: Sequence[UsageKey] | UnsetType | None = UNSET,
    first: int | UnsetType | None = UNSET,
    project: str | UnsetType | None = UNSET,
    endpoint: str | UnsetType | None = UNSET,
    flow: str | UnsetType | None = UNSET,
    node: str | UnsetType | None = UNSET,
    policy: str | UnsetType | None = UNSET,
    model: str | UnsetType | None = UNSET,
    key: str | UnsetType | None = UNSET,
    user: str | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
    release: str | UnsetType | None = UNSET,
    end_user: str | UnsetType | None = UNSET,
    tag: str | UnsetType | None = UNSET,
    status: int | UnsetType | None = UNSET,
) -> Usage:
    variables = {
        "since": since,
        "until": until,
        "step": step,
        "by": by,
        "first": first,
        "project": project,
        "endpoint": endpoint,
        "flow": flow,
        "node": node,
        "policy": policy,
        "model": model,
        "key": key,
        "user": user,
        "session": session,
        "release": release,
        "endUser": end_user,
        "tag": tag,
        "status": status,
    }
    response = await client.graphql(GET_USAGE, GetUsageResponse, variables)
    return response.usage


GET_USAGE_CHANGE = """\
query GetUsageChange($since: Timestamp, $until: Timestamp, $project: String, $endpoint: String, $flow: String, $node:
String, $policy: String, $model: String, $key: String, $user: String, $session: String, $release: String, $endUser:
String, $tag: String, $status: Int) { usageChange( since: $since until: $until filter: { project: $project endpoint:
$endpoint flow: $flow node: $node policy: $policy model: $model key: $key user: $user session: $session release:
$release endUser: $endUser tag: $tag status: $status } ) { comparedSince since until asOf sentence before { ...UsageSums
} after { ...UsageSums } differenceUsd parts { ...CostParts } models { model beforeUsd afterUsd differenceUsd parts {
...CostParts } } } } fragment UsageSums on UsageSums { requests errors degraded unpriced attempts tokens { ...Tokens }
costUsd p50Ms p95Ms } fragment Tokens on Tokens { input output cached cacheWrite reasoning estimated } fragment
CostParts on CostParts { volumeUsd mixUsd tokensUsd priceUsd }
"""


class GetUsageChangeResultModels(Struct, frozen=True, rename="camel"):
    model: str | None
    before_usd: Dollars
    after_usd: Dollars
    difference_usd: Dollars
    parts: CostParts


class GetUsageChangeResult(Struct, frozen=True, rename="camel"):
    compared_since: Timestamp
    since: Timestamp
    until: Timestamp
    as_of: Timestamp
    sentence: str
    before: UsageSums
    after: UsageSums
    difference_usd: Dollars
    parts: CostParts
    models: list[GetUsageChangeResultModels]


class GetUsageChangeResponse(Struct, frozen=True, rename="camel"):
    usage_change: GetUsageChangeResult


async def get_usage_change(
    client: ApiClient,
    *,
    since: Timestamp | UnsetType | None = UNSET,
    until: Timestamp | UnsetType | None = UNSET,
    project: str | UnsetType | None = UNSET,
    endpoint: str | UnsetType | None = UNSET,
    flow: str | UnsetType | None = UNSET,
    node: str | UnsetType | None = UNSET,
    policy: str | UnsetType | None = UNSET,
    model: str | UnsetType | None = UNSET,
    key: str | UnsetType | None = UNSET,
    user: str | UnsetType | None = UNSET,
    session: str | UnsetType | None = UNSET,
    release: str | UnsetType | None = UNSET,
    end_user: str | UnsetType | None = UNSET,
    tag: str | UnsetType | None = UNSET,
    status: int | UnsetType | None = UNSET,
) -> GetUsageChangeResult:
    variables = {
        "since": since,
        "until": until,
        "project": project,
        "endpoint": endpoint,
        "flow": flow,
        "node": node,
        "policy": policy,
        "model": model,
        "key": key,
        "user": user,
        "session": session,
        "release": release,
        "endUser": end_user,
        "tag": tag,
        "status": status,
    }
    response = await client.graphql(GET_USAGE_CHANGE, GetUsageChangeResponse, variables)
    return response.usage_change


GET_SAVINGS = """\
query GetSavings($days: Float) { savings(days: $days) { ...PolicySavings } quality { ...QualityLoss } } fragment
PolicySavings on PolicySavings { policy large requests small unpriced spentUsd baselineUsd savedUsd marginUsd
evaluationUsd energy { ...EnergySavings } curves } fragment EnergySavings on EnergySavings { requests unknown tookWh
largeAloneWh how } fragment QualityLoss on PolicyQuality { policy certified samples loss lossLow lossHigh }
"""


class GetSavingsResponse(Struct, frozen=True, rename="camel"):
    savings: list[PolicySavings]
    quality: list[QualityLoss]


async def get_savings(client: ApiClient, *, days: float | UnsetType | None = UNSET) -> GetSavingsResponse:
    variables = {"days": days}
    return await client.graphql(GET_SAVINGS, GetSavingsResponse, variables)


GET_SAMPLES = """\
query GetSamples($policy: String!) { samples(policy: $policy) { ...Samples } } fragment Samples on Samples { small large
judge pairs }
"""


class GetSamplesResponse(Struct, frozen=True, rename="camel"):
    samples: Samples


async def get_samples(client: ApiClient, *, policy: str) -> Samples:
    variables = {"policy": policy}
    response = await client.graphql(GET_SAMPLES, GetSamplesResponse, variables)
    return response.samples


RESTORE_POLICY = """\
mutation RestorePolicy($policy: String!) { restorePolicy(policy: $policy) { ...RestoredPolicy } } fragment
RestoredPolicy on RestorePolicyPayload { policy wasViolated }
"""


class RestorePolicyResponse(Struct, frozen=True, rename="camel"):
    restore_policy: RestoredPolicy


async def restore_policy(client: ApiClient, *, policy: str) -> RestoredPolicy:
    variables = {"policy": policy}
    response = await client.graphql(RESTORE_POLICY, RestorePolicyResponse, variables)
    return response.restore_policy


RELOAD = """\
mutation Reload { reload { models } }
"""


class ReloadResult(Struct, frozen=True, rename="camel"):
    models: list[str]


class ReloadResponse(Struct, frozen=True, rename="camel"):
    reload: ReloadResult


async def reload(client: ApiClient) -> ReloadResult:
    response = await client.graphql(RELOAD, ReloadResponse)
    return response.reload


LIST_BATCHES = """\
query ListBatches($first: Int!) { batches(first: $first) { ...Batch } } fragment Batch on Batch { id project status
sentence endpoint created expires total done failed costUsd maxCostUsd inputFile outputFile errorFile errors { code
message line } requestErrors { code count } cut }
"""


class ListBatchesResponse(Struct, frozen=True, rename="camel"):
    batches: list[Batch]


async def list_batches(client: ApiClient, *, first: int) -> list[Batch]:
    variables = {"first": first}
    response = await client.graphql(LIST_BATCHES, ListBatchesResponse, variables)
    return response.batches


SHOW_BATCH = """\
query ShowBatch($id: ID!) { batch(id: $id) { ...Batch } } fragment Batch on Batch { id project status sentence endpoint
created expires total done failed costUsd maxCostUsd inputFile outputFile errorFile errors { code message line }
requestErrors { code count } cut }
"""


class ShowBatchResponse(Struct, frozen=True, rename="camel"):
    batch: Batch | None


async def show_batch(client: ApiClient, *, id: str) -> Batch | None:
    variables = {"id": id}
    response = await client.graphql(SHOW_BATCH, ShowBatchResponse, variables)
    return response.batch


CANCEL_BATCH = """\
mutation CancelBatch($id: ID!) { cancelBatch(id: $id) { ...Batch } } fragment Batch on Batch { id project status
sentence endpoint created expires total done failed costUsd maxCostUsd inputFile outputFile errorFile errors { code
message line } requestErrors { code count } cut }
"""


class CancelBatchResponse(Struct, frozen=True, rename="camel"):
    cancel_batch: Batch


async def cancel_batch(client: ApiClient, *, id: str) -> Batch:
    variables = {"id": id}
    response = await client.graphql(CANCEL_BATCH, CancelBatchResponse, variables)
    return response.cancel_batch


LIST_EDGES = """\
query ListEdges($environment: String, $standing: EdgeStanding, $words: String, $last: Int!) { edges( filter: {
environment: $environment, standing: $standing, words: $words } last: $last ) { ...EdgePage } } fragment EdgePage on
EdgePage { rows { ...Edge } before } fragment Edge on Edge { name environment standing wanted wantedSince kind project
key release build version seen records waiting lost note }
"""


class ListEdgesResponse(Struct, frozen=True, rename="camel"):
    edges: EdgePage


async def list_edges(
    client: ApiClient,
    *,
    last: int,
    environment: str | UnsetType | None = UNSET,
    standing: EdgeStanding | UnsetType | None = UNSET,
    words: str | UnsetType | None = UNSET,
) -> EdgePage:
    variables = {"environment": environment, "standing": standing, "words": words, "last": last}
    response = await client.graphql(LIST_EDGES, ListEdgesResponse, variables)
    return response.edges


EDGE_KEYS = """\
query EdgeKeys { edgeKeys { ...EdgeKey } } fragment EdgeKey on EdgeKey { id digest tenant project dataClass permissions
expires models policies endpoints obstacle }
"""


class EdgeKeysResponse(Struct, frozen=True, rename="camel"):
    edge_keys: list[EdgeKey]


async def edge_keys(client: ApiClient) -> list[EdgeKey]:
    response = await client.graphql(EDGE_KEYS, EdgeKeysResponse)
    return response.edge_keys


LIST_DECISIONS = """\
query ListDecisions($project: String, $skip: NonNegativeSafeInt) { decisions(project: $project, skip: $skip) {
...Decision } } fragment Decision on Decision { id project model state cause options instructions question answers
nextCertificationAt sampled created changed certificate { ...DecisionCertificate } } fragment DecisionCertificate on
DecisionCertificate { quality error taught certifiedOn isCertified share agreement calibrationError rungs {
...DecisionRung } } fragment DecisionRung on DecisionRung { rung inputs }
"""


class ListDecisionsResponse(Struct, frozen=True, rename="camel"):
    decisions: list[Decision]


async def list_decisions(
    client: ApiClient,
    *,
    project: str | UnsetType | None = UNSET,
    skip: NonNegativeSafeInt | UnsetType | None = UNSET,
) -> list[Decision]:
    variables = {"project": project, "skip": skip}
    response = await client.graphql(LIST_DECISIONS, ListDecisionsResponse, variables)
    return response.decisions


SHOW_DECISION = """\
query ShowDecision($id: ID!) { decision(id: $id) { ...Decision } } fragment Decision on Decision { id project model
state cause options instructions question answers nextCertificationAt sampled created changed certificate {
...DecisionCertificate } } fragment DecisionCertificate on DecisionCertificate { quality error taught certifiedOn
isCertified share agreement calibrationError rungs { ...DecisionRung } } fragment DecisionRung on DecisionRung { rung
inputs }
"""


class ShowDecisionResponse(Struct, frozen=True, rename="camel"):
    decision: Decision | None


async def show_decision(client: ApiClient, *, id: str) -> Decision | None:
    variables = {"id": id}
    response = await client.graphql(SHOW_DECISION, ShowDecisionResponse, variables)
    return response.decision


DECISION_EXAMPLES = """\
query DecisionExamples($id: ID!, $skip: NonNegativeSafeInt!) { decisionExamples(id: $id, skip: $skip) {
...DecisionExample } } fragment DecisionExample on DecisionExample { id input option teaches }
"""


class DecisionExamplesResponse(Struct, frozen=True, rename="camel"):
    decision_examples: list[DecisionExample]


async def decision_examples(client: ApiClient, *, id: str, skip: NonNegativeSafeInt) -> list[DecisionExample]:
    variables = {"id": id, "skip": skip}
    response = await client.graphql(DECISION_EXAMPLES, DecisionExamplesResponse, variables)
    return response.decision_examples


MEASURE_DECISION = """\
mutation MeasureDecision($id: ID!) { measureDecision(id: $id) { ...DecisionMeasurement } } fragment DecisionMeasurement
on DecisionMeasurement { model asked left }
"""


class MeasureDecisionResponse(Struct, frozen=True, rename="camel"):
    measure_decision: DecisionMeasurement


async def measure_decision(client: ApiClient, *, id: str) -> DecisionMeasurement:
    variables = {"id": id}
    response = await client.graphql(MEASURE_DECISION, MeasureDecisionResponse, variables)
    return response.measure_decision


CERTIFY_DECISION = """\
mutation CertifyDecision($id: ID!) { certifyDecision(id: $id) { ...Decision } } fragment Decision on Decision { id
project model state cause options instructions question answers nextCertificationAt sampled created changed certificate
{ ...DecisionCertificate } } fragment DecisionCertificate on DecisionCertificate { quality error taught certifiedOn
isCertified share agreement calibrationError rungs { ...DecisionRung } } fragment DecisionRung on DecisionRung { rung
inputs }
"""


class CertifyDecisionResponse(Struct, frozen=True, rename="camel"):
    certify_decision: Decision


async def certify_decision(client: ApiClient, *, id: str) -> Decision:
    variables = {"id": id}
    response = await client.graphql(CERTIFY_DECISION, CertifyDecisionResponse, variables)
    return response.certify_decision


FORGET_DECISION = """\
mutation ForgetDecision($id: ID!) { forgetDecision(id: $id) }
"""


class ForgetDecisionResponse(Struct, frozen=True, rename="camel"):
    forget_decision: NonNegativeSafeInt


async def forget_decision(client: ApiClient, *, id: str) -> NonNegativeSafeInt:
    variables = {"id": id}
    response = await client.graphql(FORGET_DECISION, ForgetDecisionResponse, variables)
    return response.forget_decision


LIST_WIDGETS = """\
query ListWidgets { widgets { ...Widget } } fragment Widget on Widget { id name key target origins page path created
stopped usdPerDay { limit spent } warnings }
"""


class ListWidgetsResponse(Struct, frozen=True, rename="camel"):
    widgets: list[Widget]


async def list_widgets(client: ApiClient) -> list[Widget]:
    response = await client.graphql(LIST_WIDGETS, ListWidgetsResponse)
    return response.widgets


CREATE_WIDGET = """\
mutation CreateWidget($name: String!, $target: String!, $origins: [String!]!, $usdPerDay: Dollars, $page: Boolean,
$title: String, $greeting: String) { createWidget( name: $name target: $target origins: $origins usdPerDay: $usdPerDay
page: $page title: $title greeting: $greeting ) { ...Widget } } fragment Widget on Widget { id name key target origins
page path created stopped usdPerDay { limit spent } warnings }
"""


class CreateWidgetResponse(Struct, frozen=True, rename="camel"):
    create_widget: Widget


async def create_widget(
    client: ApiClient,
    *,
    name: str,
    target: str,
    origins: Sequence[str],
    usd_per_day: Dollars | UnsetType | None = UNSET,
    page: bool | UnsetType | None = UNSET,
    title: str | UnsetType | None = UNSET,
    greeting: str | UnsetType | None = UNSET,
) -> Widget:
    variables = {
        "name": name,
        "target": target,
        "origins": origins,
        "usdPerDay": usd_per_day,
        "page": page,
        "title": title,
        "greeting": greeting,
    }
    response = await client.graphql(CREATE_WIDGET, CreateWidgetResponse, variables)
    return response.create_widget
