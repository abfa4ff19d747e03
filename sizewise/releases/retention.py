"""Retention of releases: which ones a project still needs, and deleting the others with the parts that only they have.

Kept are the newest MOST_KEPT, those of the last MOST_KEPT changes of each environment, what is live with what a
rollback goes to and the canary, and the releases of runs that have not ended well.
"""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from sizewise.flows.tables import RUNS
from sizewise.releases.environments.tables import HISTORY, LIVE
from sizewise.releases.manifest import read_manifest
from sizewise.releases.tables import PARTS, RELEASES

MOST_KEPT = 100
"""Of each environment, and of those saved last."""
BATCH = 50
"""Releases deleted in one transaction."""

Project = tuple[str, str]
"""Tenant and project."""


def delete_unneeded_releases(connection: Connection) -> bool:
    """Of projects that have environments; True if more is left to do."""
    left = False
    for tenant, project in connection.execute(select(LIVE.c.tenant, LIVE.c.project).distinct()):
        left = _delete_of(connection, (tenant, project)) or left
    return left


def _delete_of(connection: Connection, project: Project) -> bool:
    its = RELEASES.c
    mine = (its.tenant == project[0]) & (its.project == project[1])
    saved = list(connection.execute(select(its.number, its.hash).where(mine).order_by(its.number.desc())))
    if len(saved) <= MOST_KEPT:
        return False
    needed = _needed(connection, project)
    gone = [number for number, hash in saved[MOST_KEPT:] if hash not in needed][-BATCH:]
    if gone:
        connection.execute(delete(RELEASES).where(its.number.in_(gone)))
        _delete_parts(connection, project)
    return len(gone) == BATCH


def _needed(connection: Connection, project: Project) -> set[str]:
    its, moves, runs = LIVE.c, HISTORY.c, RUNS.c
    needed: set[str] = set()
    found = select(its.environment, its.release, its.previous, its.canary)
    for environment, *hashes in connection.execute(
        found.where((its.tenant == project[0]) & (its.project == project[1]))
    ):
        needed |= {each for each in hashes if each}
        its_moves = (moves.tenant == project[0]) & (moves.project == project[1]) & (moves.environment == environment)
        latest = select(moves.release).where(its_moves).order_by(moves.number.desc()).limit(MOST_KEPT)
        needed |= set(connection.scalars(latest))
    unended = (runs.tenant == project[0]) & (runs.project == project[1]) & (runs.state != "done")
    needed |= set(connection.scalars(select(runs.release).where(unended & runs.release.is_not(None)).distinct()))
    return needed


def _delete_parts(connection: Connection, project: Project) -> None:
    """Those that no release of the project has."""
    its, parts = RELEASES.c, PARTS.c
    manifests = connection.scalars(select(its.manifest).where((its.tenant == project[0]) & (its.project == project[1])))
    used = {each for manifest in manifests for each in read_manifest(manifest).each()}
    mine = (parts.tenant == project[0]) & (parts.project == project[1])
    rows = connection.execute(select(parts.number, parts.kind, parts.name, parts.version).where(mine))
    unused = [number for number, *key in rows if tuple(key) not in used]
    for place in range(0, len(unused), 500):
        connection.execute(delete(PARTS).where(parts.number.in_(unused[place : place + 500])))
