"""Runs Lamatic's flows by Lamatic's own SDKs against a real server, and prints which came to an end with their outputs.

    python -m bench.lamatic.sdks FOLDER [--json] [--verbose]

Each flow is imported by `sizewise import lamatic`, and checked by `sizewise flow check`; what the check says is missing
(hosts, knowledge bases) is added to the settings. Those that pass are run by the packages from npm and PyPI, which
`make .venv/sdks/ready` installs, on the echo model. The APIs that they call are on this machine, under their own names.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct, to_builtins

from bench.lamatic import stand_ins
from bench.lamatic.apis import serving_apis
from bench.lamatic.real_form import KitFlow, write_kits
from sizewise.flows.node_registry import NodeRegistry
from sizewise.flows.validator import validate_flow
from tests.cli.terminal import sizewise
from tests.running_server import Served, environment, serving, until
from tests.sdks.apart import run_cases
from tests.sdks.test_node import HERE, node

SETTINGS = """
[server]
embedded = false
discover = false
[providers.echo]
wire = "echo"
place = "process"
models = ["small", "large", "vectors"]
[models."echo/small"]
input_modalities = ["image", "file"]
[models."echo/large"]
input_modalities = ["image", "file"]
[models."echo/vectors"]
task = "embed"
"""
BASE = re.compile(r"there is no knowledge base '([^']+)'")
SDKS = ("npm", "PyPI")


class SdkResult(Struct):
    """`named`: nodes that were not imported. `ended`: by SDK. `reasons`: by SDK, why it has not ended with its declared
    outputs; empty: it has.
    """

    flow: str
    source: str
    named: int = 0
    passed: bool = False
    declared: list[str] = []
    mistakes: list[str] = []
    ended: dict[str, bool] = {}
    reasons: dict[str, str] = {}

    @property
    def whole(self) -> bool:
        return self.passed and all(not self.reasons.get(each, "not run") for each in SDKS)


def measure(folder: Path, work: Path) -> list[SdkResult]:
    kits = write_kits(folder, work)
    home = work / "home"
    (home / "flows").mkdir(parents=True)
    settings = home / "sizewise.toml"
    settings.write_text(SETTINGS)
    imported = sizewise("import", "lamatic", str(work / "kits"), "--json", home=home).json
    results = {
        row["name"]: SdkResult(row["name"], Path(row["from"]).relative_to(work).as_posix(), row["named"])
        for row in imported["flows"]
    }
    checked = sizewise("flow", "check", "--json", home=home).json
    for row in checked["flows"]:
        wrong = [each["message"] for each in row["findings"] if each["kind"] == "mistake"]
        results[row["name"]].mistakes, results[row["name"]].passed = wrong, not wrong
    messages = "\n".join(each["message"] for row in checked["flows"] for each in row["findings"])
    bases = sorted(set(BASE.findall(messages)))
    text = SETTINGS + checked["settings"] + "".join(f'[knowledge."{each}"]\n' for each in bases)
    hosts: dict[str, Any] = {urlsplit(each["url"]).hostname or "": {} for each in checked["hosts"] if each["url"]}
    with serving_apis(work, hosts | _api_answers(kits.values())) as apis, serving(home, text + apis.settings) as served:
        passed = [name for name, each in results.items() if each.passed]
        until(lambda: {each["name"] for each in _published(home)} >= set(passed), seconds=120)
        for base in bases:  # as its owner would: a document, before the first search
            (work / "tea.md").write_text("# Tea\n\nTea is hot.\n")
            assert sizewise("knowledge", "add", base, str(work / "tea.md"), home=home).code == 0
        calls = {name: _payload(home, name, kits[results[name].source]) for name in passed}
        for sdk, answers in _run(served, work, calls).items():
            for name in passed:
                _judge(results[name], sdk, answers.get(name) or {}, home)
    return list(results.values())


def _published(home: Path) -> list[Any]:
    return [each for each in sizewise("flow", "list", "--json", home=home).json["flows"] if each["published"]]


def _payload(home: Path, name: str, kit: KitFlow) -> dict[str, Any]:
    return stand_ins.inputs(_spec(home, name).inputs, kit.used.get(kit.trigger, ()))


def _spec(home: Path, name: str) -> Any:
    spec = validate_flow((home / "flows" / f"{name}.yaml").read_text(), NodeRegistry()).spec
    assert spec is not None
    return spec


def _api_answers(kits: Any) -> dict[str, Any]:
    """By host, an object with all that flows read of what its `apiNode`s return."""
    made: dict[str, Any] = {}
    for kit in kits:
        for box in kit.canvas.nodes.values() if kit.canvas is not None else ():
            host = urlsplit(str(box.values.get("url") or "").partition("{{")[0]).hostname
            answer = stand_ins.value(kit.used.get(box.id, ()))
            if box.type == "apiNode" and host and isinstance(answer, dict):
                made.setdefault(host, {}).update(answer)
    return made


def _run(served: Served, work: Path, calls: Mapping[str, object]) -> dict[str, dict[str, Any]]:
    file = work / "calls.json"
    file.write_text(json.dumps(calls))
    made = sizewise("keys", "create", "lamatic", "--permissions", "ask,manage_knowledge", "--json", home=served.home)
    environ = {"SIZEWISE_URL": served.url, "SIZEWISE_KEY": made.json["secret"], "CALLS": str(file)}
    words = [node(), "lamatic_flows.mjs"]
    done = subprocess.run(words, cwd=HERE, env=environment(**environ), capture_output=True, text=True, timeout=1_200)
    assert done.returncode == 0, done.stderr[-4_000:]
    return {"npm": json.loads(done.stdout), "PyPI": run_cases("lamatic_flows.py", "sdks", 1_200.0, **environ)}


def _judge(result: SdkResult, sdk: str, answer: Mapping[str, Any], home: Path) -> None:
    """An answer that has each declared output, none of them null."""
    outputs = answer.get("result") if answer.get("result") is not None else answer.get("output")
    result.ended[sdk] = answer.get("status") == "success" and isinstance(outputs, dict)
    if not result.ended[sdk]:
        result.reasons[sdk] = str(answer.get("message") or answer)[:300]
        return
    result.declared = list(_spec(home, result.flow).outputs)
    missing = [each for each in result.declared if (outputs or {}).get(each) is None]
    result.reasons[sdk] = f"without {', '.join(missing)}" if missing else ""


def table(results: list[SdkResult]) -> str:
    passed = [each for each in results if each.passed]
    lines = [f"| of {len(results)} flows | |", "|---|---|", f"| passed the check | {len(passed)} |"]
    for sdk in SDKS:
        lines.append(f"| ran to an end by the {sdk} package | {sum(each.ended.get(sdk, False) for each in passed)} |")
    whole = sum(each.whole for each in passed)
    silent = sum(each.whole and not each.declared for each in passed)
    lines.append(f"| ... of them with nothing declared | {silent} |")
    lines.append(f"| ... with each declared output, by both | {whole} ({100 * whole / max(1, len(passed)):.1f} %) |")
    lines += ["", "| flow | why not |", "|---|---|"]
    for each in passed:
        if not each.whole:
            reasons = Counter(each.reasons.get(sdk, "not run") for sdk in SDKS)
            lines.append(f"| {each.flow} | {'; '.join(filter(None, reasons))} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true", help="every flow")
    parser.add_argument("--verbose", action="store_true", help="also why flows did not pass the check")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        results = measure(options.folder, Path(work))
    if options.json:
        sys.stdout.write(json.dumps([to_builtins(each) for each in results], indent=1) + "\n")
        return
    for each in results if options.verbose else ():
        for line in each.mistakes:
            print(f"{each.flow}: {line}")
    print(table(results))


if __name__ == "__main__":
    main()
