"""The contracts of pyproject.toml hold, and each is known to catch what it forbids."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.walls.source import ROOT

PLANTED = {
    "sizewise/messages.py": "import sizewise.app.application",  # layers
    "sizewise/routing/model_aliases.py": "import time, sizewise.routing.router",  # purity; performing
    "sizewise/routing/policies/fixed.py": "import sizewise.routing.policies.cheapest",
    "sizewise/routing/judges/rules.py": "import sizewise.routing.judges.confidence",
    "sizewise/guardrails/topics.py": "import sizewise.guardrails.pii",
    "sizewise/settings/root.py": "import sizewise.settings.load",  # a circle
    "sizewise/storage/database.py": (
        "import socket, subprocess, xllamacpp, cryptography, graphql, starlette, rich, prometheus_client"
    ),
    "sizewise/app/services.py": "import sqlalchemy, jsonschema_rs, joserfc, spacy",
    "sizewise/http/egress.py": "import qdrant_edge, weaviate, ray",
    "sizewise/storage/encryption.py": "import pydantic_monty, onnxruntime, pypdf",
    "sizewise/flows/nodes/ask.py": "import sizewise.flows.nodes.each",
    "sizewise/principal.py": "import yaml, dbos",
    "sizewise/knowledge/vector_stores/pgvector.py": "import sizewise.knowledge.vector_stores.weaviate",
    "sizewise/graphql/keys.py": "import sizewise.lamatic.graphql_contract",
}
"""File -> lines that break a contract each; together they break them all."""


def lint(folder: Path) -> str:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True)
    return done.stdout + done.stderr


def contracts() -> list[str]:
    tool = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    return [contract["name"] for contract in tool["importlinter"]["contracts"]]


def test_every_contract_is_kept() -> None:
    said = lint(ROOT)
    assert f"Contracts: {len(contracts())} kept, 0 broken." in said, said


def test_every_contract_catches_a_planted_breach(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sizewise", tmp_path / "sizewise", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, line in PLANTED.items():
        with (tmp_path / path).open("a") as file:
            file.write(f"\n{line}\n")
    said = lint(tmp_path)
    blind = [name for name in contracts() if f"{name} BROKEN" not in " ".join(said.split())]
    assert blind == [], said


def test_a_file_without_a_layer_is_seen(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "sizewise", tmp_path / "sizewise", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "sizewise" / "planted.py").write_text('"""A file that is in no layer."""\n')
    assert "- sizewise.planted" in lint(tmp_path)
