"""How long a flow of 300 nodes takes to open in the studio, and how long a frame takes while its canvas is moved.

python -m bench.studio.large_flow [--nodes 300] [--rounds 5]: needs Debian's Chromium and `make .venv/browser/ready`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from tests.auth.user_client import new_user
from tests.graphql.graphql_client import graphql
from tests.running_server import serving
from tests.studio import traffic
from tests.studio.browser import driven, tab

PUBLISH = "mutation($text: String!) { publishFlow(text: $text) { flow { name } } }"
IN_VIEW = 15
"""Nodes that are drawn at first; the others are drawn when the canvas is moved to them."""
FRAMES = """() => new Promise((done) => {
  const times = []; let last = performance.now(); let moves = 0;
  const pane = document.querySelector('.svelte-flow__pane');
  const at = pane.getBoundingClientRect();
  const step = (now) => {
    times.push(now - last); last = now;
    if (++moves > 60) return done(times.slice(1));
    const zooms = moves > 30;
    pane.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, ctrlKey: zooms,
      deltaX: zooms ? 0 : 12, deltaY: zooms ? (moves % 2 ? 8 : -8) : 6,
      clientX: at.x + at.width / 2, clientY: at.y + at.height / 2 }));
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
})"""


def large_flow(count: int) -> str:
    lines = ["name: large", "inputs:", "  question: text", "", "nodes:"]
    for number in range(count):
        source = "inputs.question" if number < 10 else f"node_{number - 10}.text"
        lines += [f"  node_{number}:", "    kind: template", f'    text: "{number}: {{{{ {source} }}}}"', ""]
    return "\n".join([*lines, "outputs:", f'  answer: "{{{{ node_{count - 1}.text }}}}"', ""])


def cpu_ms(client: Any) -> float:
    """CPU time of the page's main thread so far, which other work on the machine does not lengthen."""
    found = client.send("Performance.getMetrics")["metrics"]
    return float(next(each["value"] for each in found if each["name"] == "TaskDuration")) * 1000


def measure(page: Any, url: str) -> tuple[float, list[float], float, float]:
    """ms until all is drawn, ms of each frame, CPU ms of opening, CPU ms a frame."""
    client = page.context.new_cdp_session(page)
    client.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(url + "/flows")
    page.wait_for_selector("a[href='/flows/large']")
    page.evaluate("window.begun = performance.now()")
    before = cpu_ms(client)
    page.click("a[href='/flows/large']")
    shown = f"() => document.querySelectorAll('[data-node]').length >= {IN_VIEW} ? performance.now() - window.begun : 0"
    opened = float(page.wait_for_function(shown, polling="raf").json_value())
    page.wait_for_load_state("networkidle")
    drawn = cpu_ms(client)
    frames = list(page.evaluate(FRAMES))
    return opened, frames, drawn - before, (cpu_ms(client) - drawn) / len(frames)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    said = parser.parse_args()
    opens, frames, cpu = [], [], []
    with tempfile.TemporaryDirectory() as home, serving(Path(home), traffic.SETTINGS) as server, driven() as browser:
        assert graphql(server, PUBLISH, text=large_flow(said.nodes)).errors == []
        anna = new_user(server, "anna@example.com", "owner")
        for _ in range(said.rounds):
            with tab(browser, server, anna) as opened:
                ms, times, *spent = measure(opened.page, server.url)
            opens.append(ms)
            frames += times
            cpu.append(spent)
    print(f"{said.nodes} nodes, {said.rounds} rounds: opened in {median(opens):.0f} ms (median; best {min(opens):.0f})")
    over = sum(each > 50 for each in frames) / said.rounds
    print(
        f"60 moves: p50 {median(frames):.1f} ms a frame, p95 {quantiles(frames, n=20)[-1]:.1f}, {over:.1f} over 50 ms"
    )
    opening, moving = median(each[0] for each in cpu), median(each[1] for each in cpu)
    print(f"CPU of the page: {opening:.0f} ms to open, {moving:.1f} ms a frame")


if __name__ == "__main__":
    main()
