"""`tradeloom up`, `down`, `status` and `doctor`: the local platform on the command line."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
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
    """Look for what may be wrong, and show what takes space and what grows. Exits 1 if anything is wrong.

    Versions, disk, permissions, ports, leftovers, migrations; tables, Dagster's log, objects, the cache. Sizes are kept in
    the state folder, so that the next look can say what has grown.
    """
    from infra.local.doctor import examine
    from infra.local.sizes import measure

    findings = examine(os.environ)
    sizes = measure(os.environ, datetime.now(UTC))
    is_well = all(finding.ok for finding in findings)
    if as_json:
        checks = [vars(finding) for finding in findings]
        click.echo(json.dumps({"ok": is_well, "checks": checks, "sizes": [size.as_dict() for size in sizes]}))
    else:
        lines = [("ok  " if one.ok else "BAD ", one.name, one.detail) for one in findings]
        lines += [("size", size.name, size.sentence()) for size in sizes]
        width = max(len(name) for _, name, _ in lines)
        click.echo("\n".join(f"{word} {name.ljust(width)}  {detail}" for word, name, detail in lines))
    if not is_well:
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
