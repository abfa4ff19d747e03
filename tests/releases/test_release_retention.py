"""Retention of releases: what is live, what a rollback or a run needs, and the newest; the rest goes with its parts."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import insert, select

from sizewise.audit_log import tables as audit_tables
from sizewise.audit_log.hash_chain import AuditEvent
from sizewise.flows import tables as flow_tables
from sizewise.flows.tables import RUNS
from sizewise.releases import retention
from sizewise.releases import tables as release_tables
from sizewise.releases.environments import tables
from sizewise.releases.environments.tables import LiveRelease
from sizewise.releases.manifest import ReleaseRequirements, build_manifest, canonical, json_part
from sizewise.releases.tables import PARTS, RELEASES, PartRow, ReleaseRow
from sizewise.storage.database import open_database, sqlite_url

COMPONENTS = (flow_tables, release_tables, tables)


def test_a_release_that_something_needs_stays_with_its_parts_and_the_oldest_others_go(tmp_path: Path) -> None:
    schemas = [each.SCHEMA for each in (audit_tables, *COMPONENTS)]
    database = open_database(sqlite_url(str(tmp_path / "it.db")), schemas)
    event = AuditEvent(tenant="t", who="w", action="a", thing="x")
    hashes = []
    with database.write() as connection:
        for number in range(retention.MOST_KEPT + 5):
            part = json_part("agents", "clerk", {"system": str(number)})
            manifest = build_manifest([part], ReleaseRequirements())
            hashes.append(manifest.hash)
            row = ReleaseRow(manifest.hash, number, "w", canonical(manifest).decode())
            parts = [PartRow(part.kind, part.name, part.version, b"sealed")]
            release_tables.insert_release(connection, "t", "p", row, parts, event)
        assert not retention.delete_unneeded_releases(connection), "without environments, nothing goes"
        live = LiveRelease("t", "p", "prod", hashes[0], previous=hashes[1])
        tables.insert_first(connection, live, "first", "", event)
        fields = dict.fromkeys(("flow", "version", "door", "key", "user", "error"), "")
        run = {"id": "r", "tenant": "t", "project": "p", "state": "waiting", "release": hashes[2], **fields}
        connection.execute(insert(RUNS).values(**run, attempt=1, epoch=0, created=0, bytes=0))
        assert not retention.delete_unneeded_releases(connection)
        left = set(connection.scalars(select(RELEASES.c.hash)))
        assert set(hashes) - left == set(hashes[3:5])
        assert len(list(connection.scalars(select(PARTS.c.number)))) == len(left)
    database.close()
