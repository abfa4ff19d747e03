"""What stands upon answering: knowledge, tools, agents and flows, put together for one House; decides nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from sizewise.app.resources import Means
from sizewise.app.routing_config import reach, terms
from sizewise.auth.revocation import Admitted
from sizewise.cache.idempotency import Idempotent
from sizewise.flows.as_model import Flows, Forked
from sizewise.flows.cost_estimate import Quotes
from sizewise.flows.executor import Carrier
from sizewise.flows.node_dependencies import offered
from sizewise.flows.toolsets import lent, own
from sizewise.handler import Answerer
from sizewise.http.client import Client
from sizewise.knowledge.knowledge_service import Library, library
from sizewise.limits.middleware import Limited
from sizewise.model_card import Card
from sizewise.plugins import Once
from sizewise.routing.constraints import Health
from sizewise.routing.explain import explain
from sizewise.routing.model_aliases import Names
from sizewise.settings.load import Settings
from sizewise.tools.tool import Shelf


def upstairs(
    settings: Settings,
    means: Means,
    cards: tuple[Card, ...],
    client: Client,
    names: Names,
    health: Health,
    answer: Answerer,
    load: Once,
) -> tuple[Answerer, Library, Shelf, Sequence[Callable[[], None]]]:
    """`answer`, which answers for flows too now; the knowledge; the tools that are lent to other programs; and the
    changes to what outlives the house. Raises ConfigError, and has changed nothing."""
    keeper, limits = means.keeper, terms(settings)
    shelved = library(settings, keeper.ledger, means.shelves, answer, cards, reach(settings), limits.of)
    its = keeper.runs.shelf, keeper.library, keeper.runs, shelved
    lends = lent(settings, *its)
    tools = own(settings, lent(settings, *its, within=True), means.servers, means.sandbox, load)
    quotes = Quotes(partial(explain, names=names, health=health, terms=limits), cards)
    nodes = offered(settings, answer, client, limits.of, shelved, means.sandbox, tools, keeper.memories, quotes)
    changes = (
        means.shelves.prepare(settings, reach(settings)),
        means.servers.prepare(settings.mcp, client),
        partial(keeper.runs.aim, Carrier(keeper.library, nodes)),
    )
    flows = Admitted(Flows(keeper.library, nodes), keeper.accounts.keys)
    whole = Limited(Idempotent(flows, keeper, means.calls, own=True), keeper.budgets)
    return Forked(answer, whole), shelved, lends, changes
