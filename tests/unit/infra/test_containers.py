"""The image, the compose file and the manifests: of the forms that their tools read, and true to the product."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.local.endpoints import VARIABLES
from infra.local.ports import PREFERRED
from infra.local.services import NAMES
from orchestration.cli import COMMANDS

INFRA = Path(__file__).parents[3] / "infra"
COMPOSE = INFRA / "compose" / "compose.yaml"
MANIFESTS = sorted((INFRA / "kubernetes").glob("*.yaml"))
PROBES = {"mlflow": "/health", "dagster": "/server_info", "oracle": "/livez", "analyst": "/livez"}
SETTINGS = set(re.findall(r"TRADELOOM_[A-Z0-9_]+", (INFRA.parent / "docs" / "operations.md").read_text()))


def objects() -> Iterator[dict[str, Any]]:
    for file in MANIFESTS:
        yield from yaml.safe_load_all(file.read_text())


def deployments() -> dict[str, dict[str, Any]]:
    return {one["metadata"]["name"]: one["spec"] for one in objects() if one["kind"] == "Deployment"}


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def test_every_container_runs_a_command_of_ours_for_services_that_there_are() -> None:
    of_pods = {name: spec["template"]["spec"]["containers"][0]["args"] for name, spec in deployments().items()}
    asked = {name: service["command"] for name, service in services().items()}
    assert asked == of_pods, "both bring up the same"
    assert all(args[0] in COMMANDS and set(args[1:]) <= set(NAMES) and name in args for name, args in asked.items())
    brought = {service for _, *args in asked.values() for service in args}
    assert brought == set(NAMES) - {"postgres", "s3"}, "all but the two engines, which are given"


def test_every_port_and_probe_is_the_services_own() -> None:
    for name, service in services().items():
        port = PREFERRED[name]
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"], "reached from this machine only: there is no login"
        assert f"127.0.0.1:{port}{PROBES[name]}'" in service["healthcheck"]["test"][-1]
    for name, spec in deployments().items():
        [container] = spec["template"]["spec"]["containers"]
        assert container["ports"] == [{"containerPort": PREFERRED[name]}]
        alive = {"path": PROBES[name], "port": PREFERRED[name]}
        assert (container["startupProbe"]["httpGet"], container["livenessProbe"]["httpGet"]) == (alive, alive)
        assert container["resources"]["limits"]["memory"]


def test_every_setting_that_is_given_is_one_that_we_read_and_no_secret_is_written_down() -> None:
    texts = [file.read_text() for file in (COMPOSE, INFRA / "compose" / "Dockerfile", *MANIFESTS)]
    given = {name for text in texts for name in re.findall(r"TRADELOOM_[A-Z0-9_]*[A-Z0-9]", text)}
    assert given - SETTINGS == set()
    for service in services().values():
        for name in ("POSTGRES_URL", "S3_ACCESS_KEY", "S3_SECRET_KEY"):
            assert service["environment"][f"TRADELOOM_{name}"].startswith(f"${{TRADELOOM_{name}:?")
    assert "Secret" not in {one["kind"] for one in objects()}
    for spec in deployments().values():
        assert {"secretRef": {"name": "tradeloom"}} in spec["template"]["spec"]["containers"][0]["envFrom"]


def generated() -> dict[str, dict[str, str]]:
    """The settings of each ConfigMap that the kustomization makes."""
    made = next(one for one in objects() if one["kind"] == "Kustomization")["configMapGenerator"]
    return {one["name"]: dict(line.split("=", 1) for line in one["literals"]) for one in made}


def test_no_container_is_given_the_address_of_what_it_shall_start() -> None:
    """`tradeloom up oracle` takes an oracle with an address for one that is there, and starts none."""
    maps = generated()
    given = {name: dict(service["environment"]) for name, service in services().items()}
    of_pods = {
        name: {
            key: value
            for source in spec["template"]["spec"]["containers"][0]["envFrom"]
            for key, value in maps.get(source.get("configMapRef", {}).get("name", ""), {}).items()
        }
        for name, spec in deployments().items()
    }
    for environs in (given, of_pods):
        told = {name: {key for key in environ if key in set(VARIABLES.values())} for name, environ in environs.items()}
        assert all(f"TRADELOOM_{name.upper()}_URL" not in keys for name, keys in told.items())
        assert told["dagster"] >= {"TRADELOOM_MLFLOW_URL", "TRADELOOM_ORACLE_URL", "TRADELOOM_ANALYST_URL"}
        assert all("TRADELOOM_MLFLOW_URL" in keys for name, keys in told.items() if name != "mlflow")
    for service in maps.values():
        for key, url in service.items():
            name = url.removeprefix("http://").partition(":")[0]
            assert (key, url) == (VARIABLES[name], f"http://{name}:{PREFERRED[name]}")


def test_no_pod_has_the_variables_of_services_which_tools_take_for_settings() -> None:
    pods = [one["spec"]["template"]["spec"] for one in objects() if one["kind"] in ("Deployment", "Job")]
    assert [pod["enableServiceLinks"] for pod in pods] == [False] * 5


def test_what_the_kustomization_lists_is_what_lies_there() -> None:
    [kustomization] = [file for file in MANIFESTS if file.name == "kustomization.yaml"]
    listed = yaml.safe_load(kustomization.read_text())["resources"]
    assert sorted(listed) == [file.name for file in MANIFESTS if file != kustomization]


def test_two_of_a_service_are_not_taken_down_at_once() -> None:
    budgets = {one["metadata"]["name"] for one in objects() if one["kind"] == "PodDisruptionBudget"}
    assert budgets == {name for name, spec in deployments().items() if spec["replicas"] > 1} == {"oracle", "analyst"}


@pytest.mark.parametrize("version", ["1.31", "1.36"])
def test_the_manifests_are_of_kubernetes_own_schema(version: str) -> None:
    checker = importlib.import_module("kubernetes_validate")
    for one in objects():
        if one["kind"] != "Kustomization":
            checker.validate(one, version, strict=True)


def test_the_compose_file_is_of_the_specifications_schema() -> None:
    checker, holder = importlib.import_module("jsonschema"), importlib.util.find_spec("check_jsonschema")
    assert holder is not None
    assert holder.origin is not None
    schema = Path(holder.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    checker.validate(yaml.safe_load(COMPOSE.read_text()), json.loads(schema.read_text()))


def test_the_image_has_every_package_and_runs_as_nobody_in_particular(tmp_path: Path) -> None:
    reader = importlib.import_module("dockerfile_parse")
    lines = reader.DockerfileParser(str(INFRA / "compose"), cache_content=True).structure
    said = [(line["instruction"], line["value"]) for line in lines]
    copied = {value.split()[0] for name, value in said if name == "COPY" and len(value.split()) == 2}
    assert {"orchestration", "assets", "dbt", "feature_store", "serving", "trading", "infra"} <= copied
    assert [value for name, value in said if name in ("USER", "ENTRYPOINT")] == ["tradeloom", '["tradeloom"]']
