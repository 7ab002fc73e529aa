"""The console script `tradeloom`: names, modules, and how an error ends.

Each command lives in a module of `orchestration.commands` and is imported when it is called, so that `tradeloom
--help` costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from infra.errors import PlatformError
from orchestration.doors import Door, Doors
from trading.errors import TradeloomError
from trading.learners.environment import pin_numeric_environment

COMMANDS: Mapping[str, Door] = {
    "demo": Door("orchestration.commands.demo", "demo", "The main job, end to end, on the sample or on your files."),
    "up": Door("orchestration.commands.platform", "up", "Start the engines, the UIs and the services."),
    "down": Door("orchestration.commands.platform", "down", "Stop what `up` started."),
    "status": Door("orchestration.commands.platform", "status", "What runs, where, and whether it is well."),
    "doctor": Door(
        "orchestration.commands.platform", "doctor", "What may be wrong on this machine, disk use included."
    ),
    "ingest": Door("orchestration.commands.ingest", "ingest", "Take in prices, actions, news, members or trades."),
    "feed": Door("orchestration.commands.feed", "feed", "Bars and trades as they happen, until Ctrl-C."),
    "trade": Door("orchestration.commands.trade", "trade", "A paper session that follows the bars as they come."),
    "sources": Door("orchestration.commands.sources", "sources", "Vendors, their order, and where they disagree."),
    "features": Door("orchestration.commands.features", "features", "Feature rows as they were known at a time."),
    "charts": Door(
        "orchestration.commands.charts", "charts", "Bars by ticks, volume, money, range, Renko, Heikin-Ashi or time."
    ),
    "explain": Door("orchestration.commands.explain", "explain", "Why a fill happened, or a decision sent no order."),
    "replay": Door("orchestration.commands.replay", "replay", "Decide again and compare, bit for bit."),
    "parity": Door("orchestration.commands.parity", "parity", "Whether what was served comes out again, bit for bit."),
    "models": Door(
        "orchestration.commands.models", "models", "Versions, aliases and gate verdicts; promote, roll back."
    ),
    "universe": Door(
        "orchestration.commands.universe", "universe", "Which symbols belonged to a universe, as known then."
    ),
    "reconcile": Door("orchestration.commands.reconcile", "reconcile", "Expected bars against those that are there."),
    "leaks": Door("orchestration.commands.leaks", "leaks", "Recompute features without the future; find what changes."),
    "blast-radius": Door(
        "orchestration.commands.blast_radius", "blast_radius", "Everything that consumed what was corrected."
    ),
    "recall": Door("orchestration.commands.recall", "recall", "Put published rows into quarantine, after use."),
    "purge": Door("orchestration.commands.purge", "purge", "Take away what is old and nothing refers to any more."),
    "backup": Door("orchestration.commands.backup", "backup", "Write the state folder into one file."),
    "restore": Door("orchestration.commands.backup", "restore", "Make a state folder from a backup."),
}


class LazyCommands(Doors):
    """The commands at top level."""

    def doors(self) -> Mapping[str, Door]:
        """Return the table above."""
        return COMMANDS


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tradeloom")
def tradeloom() -> None:
    """An MLOps platform for algorithmic trading: every fill explains itself, every decision can be replayed."""


def main() -> None:
    """Run the command line: 0 only on success, else one line on stderr.

    The numeric environment is pinned before any command imports numpy, and every process that a command starts has it.
    """
    pin_numeric_environment()
    try:
        code = tradeloom.main(standalone_mode=False)
    except (TradeloomError, PlatformError) as error:
        _end(f"tradeloom: {error}", 1)
    except click.Abort:
        _end("tradeloom: interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _end("tradeloom: interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read us has gone; there is nobody left to tell
        sys.exit(141)
    if isinstance(code, int) and code:  # click hands back the code of `ctx.exit(code)` where it does not end with it
        sys.exit(code)


def _end(line: str, code: int) -> None:
    click.echo(" ".join(line.split()), err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
