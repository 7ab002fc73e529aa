"""Commands that are imported when they are called, and listed only if their module is there."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


@dataclass(frozen=True)
class Door:
    """Where a command lives and what it is for, so that a list of commands imports none of them."""

    module: str
    attribute: str
    summary: str


class Doors(click.Group):
    """A group over a table of doors: a name that is called is imported, all others cost nothing."""

    def __init__(self, *args: Any, doors: Mapping[str, Door] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._doors = doors or {}

    def doors(self) -> Mapping[str, Door]:
        """Return the table, name -> door, in the order in which it is listed."""
        return self._doors

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return [name for name, door in self.doors().items() if importlib.util.find_spec(door.module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None if there is none of that name."""
        door = self.doors().get(cmd_name)
        if door is None or importlib.util.find_spec(door.module) is None:
            return None
        command = getattr(importlib.import_module(door.module), door.attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list without importing any command."""
        rows = [(name, self.doors()[name].summary) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
