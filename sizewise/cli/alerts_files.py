"""`sizewise alerts files`: writes rules for Prometheus and a dashboard for Grafana; reads no server."""

from __future__ import annotations

from importlib.resources import files as packaged
from pathlib import Path

import click

from sizewise.cli.options import as_json, wants_json
from sizewise.cli.output import write_file, write_json
from sizewise.errors import BadRequest, ExternalFailure

NAMES = ("sizewise.rules.yml", "sizewise-dashboard.json")
NEXT_STEPS = """
  prometheus.yml: rule_files: [{rules}]
                  scrape_configs: [{{job_name: sizewise, authorization: {{credentials_file: KEY_FILE}},
                                   static_configs: [{{targets: ["localhost:8080"]}}]}}]
  the key:        sizewise keys create prometheus --permissions read_metrics
  Grafana:        Dashboards, New, Import: {dashboard}"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--force", is_flag=True, help="Replace files that differ.")
@as_json
def files(folder: Path, force: bool) -> None:
    """Write Prometheus rules with alerts, and a Grafana dashboard, to a folder.

    Files that you have changed are not replaced, unless with --force. After an upgrade, write them again.

    \b
    Example: sizewise alerts files monitoring
    """
    texts = {folder / name: packaged("sizewise.telemetry").joinpath("monitoring", name).read_bytes() for name in NAMES}
    changed = [path for path, text in texts.items() if path.exists() and _content(path) != text]
    if changed and not force:
        raise BadRequest(f"{', '.join(map(repr, map(str, changed)))} differ from ours", "compare them, or use --force")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExternalFailure(f"cannot create {str(folder)!r}: {error.strerror}", "use another folder") from error
    for path, text in texts.items():
        write_file(path, text)
        path.chmod(0o644)  # Prometheus and Grafana run as others, and nothing in it is secret
    rules, dashboard = texts
    if wants_json():
        write_json({"files": [str(path) for path in texts]})
    else:
        click.echo("\n".join(map(str, texts)) + "\n" + NEXT_STEPS.format(rules=rules.resolve(), dashboard=dashboard))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ExternalFailure(f"cannot read {str(path)!r}: {error.strerror}", "use another folder") from error
