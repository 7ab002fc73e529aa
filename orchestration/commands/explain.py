"""`tradeloom explain fill|decision ID...|--last|--all`: why it happened, or why not, with every hash computed again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from serving.explanation.explain import Explanation
    from serving.explanation.replay import Sources

    Explain = Callable[[Sources, Sequence[str] | None], list[Explanation]]
    Newest = Callable[[Sources], str]

IDS = click.argument("ids", nargs=-1)
ALL = click.option("--all", "all_of_them", is_flag=True, help="Every one that was ever made.")
LAST = click.option("--last", is_flag=True, help="The newest one.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")


@click.group()
def explain() -> None:
    """Say why a fill happened, or what a decision came to and why. Ends with 1 if anything does not check out."""


@explain.command("fill", short_help="Why fills happened, link by link.")
@IDS
@LAST
@ALL
@AS_JSON
def explain_fill(ids: tuple[str, ...], last: bool, all_of_them: bool, as_json: bool) -> None:
    """Explain fills: order, decision, model, features, data, payload, news, costs, chain."""
    from serving.explanation.explain import explain_fills
    from serving.explanation.newest import newest_fill

    _explain("fills", explain_fills, _asked(ids, last, all_of_them), as_json, newest_fill if last else None)


@explain.command("decision", short_help="What decisions came to and why.")
@IDS
@LAST
@ALL
@AS_JSON
def explain_decision(ids: tuple[str, ...], last: bool, all_of_them: bool, as_json: bool) -> None:
    """Explain decisions, those that sent no order too: why not."""
    from serving.explanation.explain import explain_decisions
    from serving.explanation.newest import newest_decision

    _explain("decisions", explain_decisions, _asked(ids, last, all_of_them), as_json, newest_decision if last else None)


def asked_ids(ids: tuple[str, ...], all_of_them: bool) -> list[str] | None:
    """Return the ids asked for; None for all.

    Raises:
        UsageError: neither ids nor --all, or both.
    """
    if bool(ids) == all_of_them:
        raise click.UsageError("give one or more ids, or --all")
    return None if all_of_them else list(ids)


def _asked(ids: tuple[str, ...], last: bool, all_of_them: bool) -> list[str] | None:
    """Return the ids asked for; None for all, none yet where it is the newest."""
    if [bool(ids), last, all_of_them].count(True) != 1:
        raise click.UsageError("give one or more ids, or --last, or --all")
    return None if all_of_them else list(ids)


def _explain(
    plural: str, explanations_of: Explain, ids: list[str] | None, as_json: bool, newest: Newest | None
) -> None:
    from orchestration.explanation_sources import explanation_sources

    with explanation_sources(lambda line: click.echo(line, err=True)) as sources:
        found = explanations_of(sources, [newest(sources)] if newest else ids)
    if as_json:
        click.echo(json.dumps({plural: [one.to_dict() for one in found]}, default=str))
    else:
        for one in found:
            click.echo(f"{one.identity}  {'verified' if one.is_verified else 'NOT VERIFIED'}\n  {one.text}")
        click.echo(f"{sum(one.is_verified for one in found)} of {len(found)} {plural} verified")
    if not all(one.is_verified for one in found):
        raise SystemExit(1)
