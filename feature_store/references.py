"""Who refers to a definition, and what follows: what nobody refers to is retired, what somebody refers to is kept up.

A definition is kept up by `features.advance` from when it is built until it is retired; a retired one stays readable and
recomputable, it only gets no new rows (docs/decisions/0091). Models are in the registry of models, all else is in the
warehouse (features.references_to, migration 0019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import psycopg

from trading.adapters.postgres import connection
from trading.adapters.promotions import promotions
from trading.errors import InputError
from trading.learners.model_card import ModelCard

CHAMPION = "champion"


@dataclass(frozen=True)
class Reference:
    """One thing that needs the new rows of a definition.

    Attributes:
        kind: `newest definition`, `service`, `running session`, `definition`, `model` or `rollback`.
        name: Which one; for people.
    """

    kind: str
    name: str


@dataclass(frozen=True)
class ModelReference:
    """A model version that may serve, and the definition of its feature service."""

    definition: str
    reference: Reference


@dataclass(frozen=True)
class StillReferred:
    """The refusal to retire: who refers to it."""

    definition: str
    references: tuple[Reference, ...]


@dataclass(frozen=True)
class Tended:
    """What a look at all definitions changed: definitions retired, and retired ones taken up again."""

    retired: list[str] = field(default_factory=list)
    taken_up: list[str] = field(default_factory=list)


class Versions(Protocol):
    """The part of the registry of models that says which versions may serve."""

    def names(self) -> list[str]:
        """Return the names of all models."""

    def versions(self, name: str) -> Sequence[Version]:
        """Return the versions of a model."""

    def card(self, name: str, version: str) -> ModelCard:
        """Return the card of a version."""


class Version(Protocol):
    """A registered version."""

    @property
    def version(self) -> str:
        """Its number, as text."""

    @property
    def aliases(self) -> Sequence[str]:
        """What names it now."""


def model_references(conn: psycopg.Connection, registry: Versions) -> list[ModelReference]:
    """Return the versions under an alias, and of each model the one that a rollback would go back to."""
    found = []
    for name in registry.names():
        for one in registry.versions(name):
            before = _rollback_target(conn, name)
            if one.aliases:
                reference = Reference("model", f"{name} version {one.version} ({', '.join(one.aliases)})")
            elif one.version == before:
                reference = Reference("rollback", f"{name} version {one.version}")
            else:
                continue
            service = registry.card(name, one.version).feature_service
            if service:
                found.append(ModelReference(str(service["definition"]), reference))
    return found


def references_to(conn: psycopg.Connection, definition: str, models: Sequence[ModelReference]) -> tuple[Reference, ...]:
    """Return who needs the new rows of a definition; for one of indicators, by way of the daily ones that read it."""
    rows = conn.execute("select kind, name from features.references_to(%s)", (definition,)).fetchall()
    return (
        *(Reference(kind, name) for kind, name in rows),
        *(one.reference for one in models if one.definition == definition),
    )


def retire_definition(url: str, name: str, registry: Versions) -> StillReferred | None:
    """Retire a definition unless somebody refers to it; None if it is retired now.

    Raises:
        InputError: it is retired already, or not registered.
    """
    with connection(url) as conn:
        if (status := _status(conn, name)) != "active":
            raise InputError(f"expected a definition that is kept up, found {name[:12]}, which is {status}")
        models = model_references(conn, registry)
    with connection(url) as conn:
        _hold_publications(conn)
        references = references_to(conn, name, models)
        if not references:
            conn.execute("call features.retire(%s)", (name,))
    return StillReferred(name, references) if references else None


def tend(url: str, registry: Versions) -> Tended:
    """Retire every definition that nobody refers to and take up every retired one that somebody refers to.

    With one definition of each view there is nothing to look at, and the registry of models is not asked.
    """
    with connection(url) as conn:
        known = conn.execute("select definition from features.definition_status order by view, event_id").fetchall()
        models = model_references(conn, registry) if len(known) > _views(conn) else []
        # Daily ones first: they refer to those of the indicators.
        doubtful = [name for (name,) in known if _is_wrong(conn, name, models)]
    if not doubtful:
        return Tended()
    with connection(url) as conn:
        _hold_publications(conn)
        return _put_right(conn, [name for (name,) in known], models)


def _put_right(conn: psycopg.Connection, names: Sequence[str], models: Sequence[ModelReference]) -> Tended:
    tended = Tended()
    for name in names:
        if not _is_wrong(conn, name, models):
            continue
        if _status(conn, name) == "active":
            conn.execute("call features.retire(%s)", (name,))
            tended.retired.append(name)
        else:
            conn.execute("call features.take_up(%s)", (name,))
            tended.taken_up.append(name)
    return tended


def _is_wrong(conn: psycopg.Connection, name: str, models: Sequence[ModelReference]) -> bool:
    """Whether a definition is kept up for nobody, or not kept up for somebody."""
    return (_status(conn, name) == "active") != bool(references_to(conn, name, models))


def _hold_publications(conn: psycopg.Connection) -> None:
    """Let nobody register, score or publish until this transaction ends."""
    conn.execute("select raw.take_watermark('features.retire')")


def _views(conn: psycopg.Connection) -> int:
    row = conn.execute("select count(distinct view) from features.definitions").fetchone()
    return int(row[0]) if row else 0


def _status(conn: psycopg.Connection, name: str) -> str:
    row = conn.execute("select status from features.definition_status where definition = %s", (name,)).fetchone()
    return str(row[0]) if row else "not registered"


def _rollback_target(conn: psycopg.Connection, model_name: str) -> str | None:
    """Return the version that stood before the present champion (`tradeloom models rollback`)."""
    verdicts = promotions(conn, model_name, CHAMPION)
    stands = verdicts[0].stands if verdicts else None
    return next((one.from_version for one in verdicts if stands is not None and one.moved_to(stands)), None)
