"""The manifests of examples/kubernetes: strict by structure, true to the server, and their settings start a server."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from sizewise.settings.load import load_settings
from tests.running_server import serving

FOLDER = Path(__file__).parents[2] / "examples/kubernetes"
LABEL = {"app.kubernetes.io/name": "sizewise"}
Manifest = dict[str, Any]


class Strict(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types here
    """Refuses a key that is there twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [self.construct_object(key) for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"{node.start_mark}: a key is there twice"
        return super().construct_mapping(node, deep)


def manifest(name: str) -> Manifest:
    (found,) = yaml.load_all((FOLDER / name).read_text(), Strict)
    assert isinstance(found, dict)
    return found


def manifests() -> dict[str, Manifest]:
    return {each["kind"]: each for each in map(manifest, manifest("kustomization.yaml")["resources"])}


def test_all_files_are_applied_and_belong_together() -> None:
    listed = set(manifest("kustomization.yaml")["resources"])
    assert listed == {each.name for each in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
    found = manifests()
    pod = found["Deployment"]["spec"]["template"]
    assert {each["metadata"]["name"] for each in found.values()} == {"sizewise"}
    assert pod["metadata"]["labels"] == LABEL == found["Service"]["spec"]["selector"]
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == LABEL
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == LABEL
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == LABEL
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "sizewise"
    assert (
        found["HorizontalPodAutoscaler"]["spec"]["minReplicas"] > found["PodDisruptionBudget"]["spec"]["minAvailable"]
    )


def test_a_pod_has_no_right_that_it_does_not_need() -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (
        pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    )
    assert not pod["automountServiceAccountToken"] and not pod.get("hostNetwork") and not pod.get("hostPID")
    own = container["securityContext"]
    assert (
        own["readOnlyRootFilesystem"] and not own["allowPrivilegeEscalation"] and own["capabilities"]["drop"] == ["ALL"]
    )
    mounts = {each["name"]: each for each in container["volumeMounts"]}
    assert {each["name"] for each in pod["volumes"]} == set(mounts)
    assert all(mounts[each["name"]].get("readOnly") for each in pod["volumes"] if "emptyDir" not in each)
    assert container["resources"]["limits"]["memory"]


def test_secrets_are_references_that_the_readme_creates() -> None:
    pod = manifests()["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    named = {each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"] if "valueFrom" in each}
    named |= {each["key"] for volume in pod["volumes"] for each in volume.get("secret", {}).get("items", ())}
    readme = (FOLDER / "README.md").read_text()
    assert all(f"={name}=" in readme or f"-{name}=" in readme or f"literal={name}=" in readme for name in named), named
    given = {each["name"]: each.get("value", "") for each in container["env"]}
    settings = load_settings(FOLDER / "sizewise.toml", Path("/nowhere"), {"SIZEWISE_KEY": ""})
    for reference in (settings.database.url, settings.encryption.key):
        assert reference.removeprefix("env:") in given, f"{reference} is not given to the pod"
    folder = next(each["mountPath"] for each in container["volumeMounts"] if each["name"] == "keys")
    assert settings.providers["cloud"].key.startswith(f"file:{folder}/")
    assert pod["terminationGracePeriodSeconds"] > settings.server.drain_timeout_s + 5, "drained before it is killed"


@pytest.mark.long
def test_its_settings_start_a_server_that_its_probes_find_ready(tmp_path: Path) -> None:
    (container,) = manifests()["Deployment"]["spec"]["template"]["spec"]["containers"]
    (tmp_path / "key").write_text("sk-of-the-cloud")
    config = (FOLDER / "sizewise.toml").read_text().replace("/run/secrets/sizewise/cloud-key", str(tmp_path / "key"))
    config = config.replace('[database]\nurl = "env:SIZEWISE_STORE"\n', "").replace('host = "0.0.0.0"\n', "")
    key = base64.b64encode(bytes(range(32))).decode()
    with serving(tmp_path / "home", config, SIZEWISE_VAULT_KEY=key) as server:
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert server.ask(container[probe]["httpGet"]["path"], key=None, host="llm.example.com").status == 200
        assert {"cloud/small-model", "cloud/large-model"} <= {
            each["id"]
            for each in server.ask("/v1/models").json["data"]  # type: ignore[index]  # an object of OpenAI
        }
