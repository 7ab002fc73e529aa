"""`tradeloom up`, `down`, `status` and `doctor`: the local platform on the command line."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from infra.local.home import Home
from infra.local.services import NAMES

SERVICES = click.argument("services", nargs=-1, type=click.Choice(NAMES))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.command()
@SERVICES
@click.option("--detach", is_flag=True, help="Return when all is healthy; `tradeloom down` stops it.")
@AS_JSON
def up(services: tuple[str, ...], detach: bool, as_json: bool) -> None:
    """Start SERVICES (all, if none is named) with what they need, and keep them up until Ctrl-C.

    What is set from outside (TRADELOOM_POSTGRES_URL, TRADELOOM_S3_ENDPOINT, ...) is used as it is.
    """
    from infra.local import supervisor

    names = frozenset(services or NAMES)
    if detach:
        supervisor.start_detached(os.environ, names)
        _show_services(as_json)
        return

    def ready(_word: str) -> None:
        _show_services(as_json)
        if not as_json:
            click.echo("Ctrl-C stops it.")

    supervisor.supervise(os.environ, names, lambda line: click.echo(line, err=True), ready)


@click.command()
@AS_JSON
def down(as_json: bool) -> None:
    """Stop what `up` started, and what a killed `up` left behind. Nothing else is touched."""
    from infra.local.supervisor import take_down

    ended = take_down(os.environ)
    if as_json:
        click.echo(json.dumps({"stopped": ended}))
    else:
        click.echo(f"stopped: {', '.join(ended)}" if ended else "nothing of ours was running")


@click.command()
@AS_JSON
def status(as_json: bool) -> None:
    """Ask every service how it is."""
    _show_services(as_json)


@click.command()
@AS_JSON
def doctor(as_json: bool) -> None:
    """Look for what may be wrong: versions, disk, permissions, ports, leftovers, migrations. Exits 1 if anything is."""
    from infra.local.doctor import examine

    findings = examine(os.environ)
    if as_json:
        click.echo(
            json.dumps(
                {"ok": all(finding.ok for finding in findings), "checks": [vars(finding) for finding in findings]}
            )
        )
    else:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            click.echo(f"{'ok  ' if finding.ok else 'BAD '} {finding.name.ljust(width)}  {finding.detail}")
    if not all(finding.ok for finding in findings):
        sys.exit(1)


def _show_services(as_json: bool) -> None:
    from infra.local.status import service_states

    states: list[dict[str, Any]] = [vars(state) for state in service_states(os.environ)]
    if as_json:
        click.echo(json.dumps({"home": str(Home.resolve(os.environ).path), "services": states}))
        return
    width = max(len(state["name"]) for state in states)
    for state in states:
        word = "healthy" if state["healthy"] else "down"
        word = "not ready" if state["healthy"] and not state["ready"] else word
        note = "" if state["ready"] or state["detail"] is None else f"  ({state['detail']})"
        click.echo(f"{state['name'].ljust(width)}  {word.ljust(9)}  {state['url'] or '-'}{note}")
