"""`python -m orchestration.contracts`: the files that contracts make, checked or written.

Without an option it compares and exits 1 where a file is not what the contracts give; `--write` writes them. What the
files say is decided in trading/contracts.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from feature_store.build import DBT_PROJECT
from trading.contracts.dbt_files import dbt_files
from trading.contracts.load import contracts
from trading.contracts.pages import pages
from trading.errors import ContractError

DOCS = Path(__file__).parents[1] / "docs"


def made_files() -> dict[Path, str]:
    """Return every file that the contracts make, and what it must say.

    Raises:
        ContractError: a contract is wrong.
    """
    several = list(contracts().values())
    in_dbt = {DBT_PROJECT / path: text for path, text in dbt_files(several).items()}
    return in_dbt | {DOCS / path: text for path, text in pages(several).items()}


def differing() -> list[Path]:
    """Return the files that are not what the contracts give, the missing ones too."""
    return [path for path, text in made_files().items() if not path.exists() or path.read_text() != text]


def write() -> list[Path]:
    """Write the files that differ and return them."""
    changed = differing()
    texts = made_files()
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path])
    return changed


@click.command()
@click.option("--write", "is_writing", is_flag=True, help="Write the files that differ.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def main(is_writing: bool, as_json: bool) -> None:
    """Compare the files that contracts make with the contracts; exit 1 if one differs."""
    try:
        changed = write() if is_writing else differing()
    except ContractError as error:
        raise click.ClickException(str(error)) from error
    names = [str(path.relative_to(DOCS.parent)) for path in changed]
    verb = "written" if is_writing else "differing"
    click.echo(
        json.dumps({verb: names}) if as_json else f"{len(names)} files {verb}{': ' if names else ''}{', '.join(names)}"
    )
    if changed and not is_writing:
        raise click.exceptions.Exit(1)


if __name__ == "__main__":
    main()
