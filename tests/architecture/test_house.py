"""The house rules that a linter does not know: where things live and what files may say."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("orchestration", "assets", "serving", "feature_store", "trading", "infra")
MODULES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}


def tracked_files() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_lives_in_it(module: Path):
    source = module.read_text()
    if module.name == "__init__.py" and not source.strip():
        return
    assert ast.get_docstring(ast.parse(source)), f"{module.relative_to(ROOT)} has no docstring"


def test_no_module_has_a_vague_name():
    vague = [path.relative_to(ROOT) for path in MODULES if VAGUE_NAMES & set(re.split(r"[_.]", path.name))]
    assert vague == []


def test_dbt_folder_holds_no_python():
    """With a Python file there, `import dbt` would find our folder instead of the installed package."""
    assert [path for path in tracked_files() if path.suffix == ".py" and path.is_relative_to(ROOT / "dbt")] == []


def test_lock_file_is_plain_pins():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    odd = [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+(\.post\d+)?", line)]
    assert odd == []
    assert "torch==2.13.0" in lines


def test_no_file_names_a_path_of_a_machine():
    machine_path = re.compile(rb"(?<![A-Za-z0-9_.~-])/(?:root|work)/[A-Za-z]")
    named = [
        path.relative_to(ROOT) for path in tracked_files() if path.is_file() and machine_path.search(path.read_bytes())
    ]
    assert named == []
