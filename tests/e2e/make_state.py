"""Writes tests/fixtures/states/NAME.tar.xz: the state folder of a small desk, as this release makes it.

Run once per landing that others build on: `python tests/e2e/make_state.py 0.1.0`. A file that is there stays: later
releases must open it (test_earlier_states.py), so it is never written anew.
"""

import lzma
import shutil
import sys
import tempfile
from pathlib import Path

from desk import prepared_desk

STATES = Path(__file__).resolve().parents[1] / "fixtures" / "states"


def main(name: str) -> None:
    """Trade a session on a small desk and keep its backup, compressed."""
    target = STATES / f"{name}.tar.xz"
    if target.exists():
        sys.exit(f"{target.name} is there already: a state of an earlier release is never written anew")
    STATES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, prepared_desk() as desk:
        backup = Path(folder) / "backup.tar"
        desk.command("backup", str(backup))
        with backup.open("rb") as plain, lzma.open(target, "wb", preset=9) as packed:
            shutil.copyfileobj(plain, packed)


if __name__ == "__main__":
    main(sys.argv[1])
