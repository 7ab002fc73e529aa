"""The console script: quick help, one line on an error, 0 only on success."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from orchestration import cli
from trading.errors import InputError


def run(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TRADELOOM_HOME": str(home)}
    command = [sys.executable, "-m", "orchestration.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_help_lists_what_is_there_and_imports_none_of_it(tmp_path: Path):
    script = "import sys; from orchestration.cli import main; sys.argv = ['tradeloom', '--help']\n"
    script += "try: main()\nexcept SystemExit as end: assert end.code == 0\n"
    script += "heavy = {'mlflow', 'dagster', 'torch', 'pandas', 'psycopg', 'bentoml'} & set(sys.modules)\n"
    script += "assert not heavy, heavy"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "status" in done.stdout
    assert "backup" in done.stdout


def test_a_command_whose_module_is_missing_is_unknown_not_a_crash(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cli, "COMMANDS", {"soon": cli.Door("orchestration.commands.soon", "soon", "Not yet.")})
    group = cli.LazyCommands()
    context = click.Context(group)
    assert group.list_commands(context) == []
    assert group.get_command(context, "soon") is None


def test_status_without_anything_running_says_so(tmp_path: Path):
    done = run("status", "--json", home=tmp_path / "home")
    assert done.returncode == 0
    services = json.loads(done.stdout)["services"]
    assert {"name", "url", "healthy"} <= services[0].keys()
    assert not any(service["healthy"] for service in services)


def test_an_error_is_one_line_on_stderr_and_exit_1(tmp_path: Path):
    done = run("backup", str(tmp_path / "file.tar"), home=tmp_path / "home")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "expected a state folder" in done.stderr


def test_an_unknown_command_is_refused(tmp_path: Path):
    assert run("fly", home=tmp_path).returncode == 2


def test_errors_of_the_product_and_of_the_platform_end_alike(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(**_: object) -> None:
        raise InputError("expected a,\nfound b")

    monkeypatch.setattr(cli.tradeloom, "main", fail)
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err == "tradeloom: expected a, found b\n"


def test_the_exit_code_that_a_command_asks_for_is_the_process_own(monkeypatch: pytest.MonkeyPatch):
    refusing = click.Command("refuse", callback=lambda: click.get_current_context().exit(3))
    monkeypatch.setattr(cli, "tradeloom", refusing)
    monkeypatch.setattr(sys, "argv", ["tradeloom"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 3
