"""How long pages of the studio take: first paint, and the newest records of many, in Debian's Chromium.

    python -m bench.studio.run [--records 1000000] [--rounds 9] [--json]

A server with echo models answers some requests; their rows are then copied in the database, some in each minute of the
days before, and the list is asked for once the server has summed them up by the hour.
First contentful paint is the browser's own figure of a page that is opened anew with an empty cache, in a window that
was open before: a new one loads some 300 files of the browser's own address bar, which a person does not wait for. The
list is measured from the request for its rows until the frame after they stand in the page.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

from sizewise.telemetry.usage_sums import HOUR_IDS
from sizewise.telemetry.usage_tables import HOURLY, IN_SESSIONS, POLICY_HOURLY
from tests.auth.user_client import new_user
from tests.running_server import Served, serving
from tests.studio.browser import driven, tab
from tests.studio.traffic import SETTINGS, fill, write_flow

PAINTED = ("/", "/play", "/records", "/quality")
IDLE_MS = 1_500
"""Before a page: the window's own address bar loads. After a list: the page asks for its histogram."""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
WATCH = """addEventListener('DOMContentLoaded', () => {
  const watching = new MutationObserver(() => {
    const rows = document.querySelectorAll('tbody tr').length;
    if (rows < 20) return;
    watching.disconnect();
    requestAnimationFrame(() => setTimeout(() => {
      const asked = performance.getEntriesByType('resource').filter((each) => each.name.endsWith('/graphql'));
      const list = asked[0];
      window.listed = { rows, ms: performance.now() - list.startTime, server: list.responseEnd - list.startTime };
    }));
  });
  watching.observe(document.documentElement, { childList: true, subtree: true });
});"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = list(measured(Path(folder), asked.records, asked.rounds))
    if asked.json:
        print(json.dumps(rows))
        return
    for row in rows:
        print(f"{row['what']:44} median {row['median']:7.0f} ms   worst {row['worst']:7.0f} ms   {row['note']}")


def measured(home: Path, records: int, rounds: int) -> Iterator[dict[str, Any]]:
    write_flow(home)
    with serving(home, SETTINGS) as server, driven() as browser:
        fill(server)
        client = new_user(server, "bench@example.com", "owner")
        for path in PAINTED:
            yield _row(f"first paint of {path}", [_paint(browser, server, client, path) for _ in range(rounds)])
        began = time.monotonic()
        stored = multiply(home, records)
        wait_until_summed(home)
        print(f"copied to {stored:,} records, and summed up, in {time.monotonic() - began:.0f} s")
        found = [_list(browser, server, client) for _ in range(rounds)]
        note = (
            f"{found[0]['rows']} rows of {stored:,}; the server's part is {median(r['server'] for r in found):.0f} ms"
        )
        yield _row("newest records, from request to paint", [each["ms"] for each in found], note)


def multiply(home: Path, records: int, session_s: int = 0) -> int:
    """Copies the rows of `records` into the minutes before until there are as many. Returns their number. `session_s`:
    the copies of so many seconds belong to one session; 0: to that of their row, if it has one.
    """
    with closing(sqlite3.connect(home / "sizewise.db", timeout=60)) as db:
        names = [row[1] for row in db.execute("PRAGMA table_info(records)") if row[1] not in ("id", "at")]
        columns, minutes = ", ".join(names), 1
        session = f"'conversation-' || ((id - :ids) / {HOUR_IDS // 3_600 * session_s})"
        copied = ", ".join(session if name == "session" and session_s else name for name in names)
        while (stored := int(db.execute("SELECT COUNT(*) FROM records").fetchone()[0])) < records:
            db.execute(
                f"""INSERT INTO records (id, at, {columns}) SELECT id - :ids, at - :ms, {copied} FROM records
                    ORDER BY id DESC LIMIT :most""",
                {"ids": minutes * HOUR_IDS // 60, "ms": minutes * 60_000, "most": records - stored},
            )
            db.commit()
            minutes *= 2
        return stored


def wait_until_summed(home: Path) -> None:
    """Until all hours but those of the last two are in roll-ups: one that is at work slows down what is measured."""
    until = int(time.time() / 3_600) - 2
    with closing(sqlite3.connect(home / "sizewise.db", timeout=60)) as db:
        hours = {row[0] for row in db.execute(f"SELECT DISTINCT id / {HOUR_IDS} FROM records") if row[0] < until}
        counted = "SELECT period FROM usage_periods WHERE rollup = ? AND records IS NOT NULL"
        for rollup in (HOURLY, IN_SESSIONS, POLICY_HOURLY):
            while hours - {row[0] for row in db.execute(counted, (rollup.table.name,))}:
                time.sleep(1)


def _paint(browser: Any, server: Served, client: Any, path: str) -> float:
    with tab(browser, server, client) as opened:
        opened.page.wait_for_timeout(IDLE_MS)
        opened.open(path)
        return float(opened.page.evaluate(PAINT))


def _list(browser: Any, server: Served, client: Any) -> dict[str, float]:
    with tab(browser, server, client) as opened:
        opened.page.add_init_script(WATCH)
        opened.page.wait_for_timeout(IDLE_MS)
        opened.open("/records")
        opened.page.wait_for_function("window.listed")
        found: dict[str, float] = opened.page.evaluate("window.listed")
        opened.page.wait_for_timeout(IDLE_MS)
        return found


def _row(what: str, times: list[float], note: str = "") -> dict[str, Any]:
    return {"what": what, "median": median(times), "worst": max(times), "note": note}


if __name__ == "__main__":
    main()
