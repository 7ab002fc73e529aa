"""Both services are built into bentos, offline, and what is built stands alone and carries no orchestrator."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

CHECKOUT = Path(__file__).parents[3]
NEVER_SERVED = ["dagster", "dbt", "great_expectations", "torch", "stable_baselines3", "sklearn", "infra", "assets"]


def bentofile(name: str) -> dict:  # type: ignore[type-arg]
    loaded: dict = yaml.safe_load((CHECKOUT / "serving" / name / "bentofile.yaml").read_text())  # type: ignore[type-arg]
    return loaded


@pytest.mark.parametrize("name", ["oracle", "analyst"])
def test_the_image_has_the_projects_own_packages_and_those_of_serving(name: str) -> None:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    expected = {*project["dependencies"], *project["optional-dependencies"]["serve"]}
    assert set(bentofile(name)["python"]["packages"]) == expected


@pytest.mark.parametrize("name", ["oracle", "analyst"])
def test_a_bento_is_built_offline_and_its_source_stands_alone(name: str, tmp_path: Path) -> None:
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path), "BENTOML_DO_NOT_TRACK": "True"}
    # Where nothing answers: a build that asked the network would fail.
    environment |= {"HTTPS_PROXY": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    command = [sys.executable, "-m", "bentoml", "build", "-f", f"serving/{name}/bentofile.yaml", "."]
    built = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    folder = tmp_path / "bentos" / f"tradeloom-{name}"
    source = folder / (folder / "latest").read_text().strip() / "src"
    loaded = subprocess.run(
        [sys.executable, "-c", _LOAD.format(name=name, never=NEVER_SERVED)],
        cwd=source,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert loaded.returncode == 0, loaded.stderr
    assert loaded.stdout.split() == [str(source / "serving" / name / "service.py"), "[]"]


_LOAD = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder)]
import serving.{name}.service as service
from serving.{name} import bootstrap
from trading.adapters.registry import ModelRegistry
from trading.learners.loading import model_from_bytes
print(service.__file__, [name for name in {never!r} if name in sys.modules])
"""
