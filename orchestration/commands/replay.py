"""`tradeloom replay decision ID...|--all`: decide again from the stored vector, the tables and the payloads, and
compare.
"""

from __future__ import annotations

import json

import click

from orchestration.commands.explain import ALL, AS_JSON, IDS, asked_ids


@click.group()
def replay() -> None:
    """Make decisions again and compare them bit for bit. Ends with 1 if any differs."""


@replay.command("decision", short_help="Make decisions again and compare.")
@IDS
@ALL
@AS_JSON
def replay_decision(ids: tuple[str, ...], all_of_them: bool, as_json: bool) -> None:
    """Replay decisions at three levels: model (vector to answer), features (tables to vector), data (payload to
    tables).
    """
    from orchestration.explanation_sources import explanation_sources
    from serving.explanation.replay import replay as replay_decisions

    ids_asked = asked_ids(ids, all_of_them)
    with explanation_sources(lambda line: click.echo(line, err=True)) as sources:
        found = replay_decisions(sources, ids_asked)
    if as_json:
        click.echo(json.dumps({"decisions": [one.to_dict() for one in found]}))
    else:
        for one in found:
            if not one.identical:
                click.echo(f"{one.decision_id}  differs ({one.environment} environment): {'; '.join(one.differences)}")
        click.echo(f"{sum(one.identical for one in found)} of {len(found)} decisions are identical")
    if not all(one.identical for one in found):
        raise SystemExit(1)
