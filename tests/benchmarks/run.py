"""`make bench`: run the cases and write docs/benchmarks.md. `make bench CASES=asof,online` runs some of the files.

The page is made of the newest outcome of every case, kept in .benchmarks/ of the checkout; a case without one is
`not run`.
"""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from harness import CHECKOUT, HERE, Bench, Case, Outcome, measure
from page import page

KEPT = CHECKOUT / ".benchmarks"
PAGE = CHECKOUT / "docs" / "benchmarks.md"


def case_files(chosen: Sequence[str] = ()) -> dict[str, list[Case]]:
    """Return file -> its cases, of all files or of the chosen ones.

    Raises:
        SystemExit: a chosen file is not there.
    """
    there = sorted(path.stem.removeprefix("case_") for path in HERE.glob("case_*.py"))
    if unknown := set(chosen) - set(there):
        sys.exit(f"expected CASES of {', '.join(there)}, found {', '.join(sorted(unknown))}")
    return {name: importlib.import_module(f"case_{name}").CASES for name in there if not chosen or name in chosen}


def main(arguments: Sequence[str]) -> int:
    """Run, keep each outcome as it comes, write the page; 1 if a case broke (a goal not met is an outcome, no error)."""
    chosen = [name for argument in arguments for name in argument.split(",") if name]
    KEPT.mkdir(exist_ok=True)
    broken = 0
    with tempfile.TemporaryDirectory(prefix="tradeloom-bench-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o711)  # PostgreSQL's user passes through; else root's data would lie outside and stay there
        bench = Bench(Path(folder).resolve(), stack)
        for name, cases in case_files(chosen).items():
            for case in cases:
                broken += _run(name, case, bench)
    outcomes = [(case, _kept(name, case)) for name, cases in case_files().items() for case in cases]
    PAGE.write_text(page(outcomes))
    _say(f"wrote {PAGE.relative_to(CHECKOUT)}")
    return 1 if broken else 0


def _run(name: str, case: Case, bench: Bench) -> int:
    _say(f"{name}: {case.name}, {case.size} ...")
    try:
        outcome = measure(case, bench)
    except Exception as error:  # noqa: BLE001 - the other cases still run; the page says that this one broke
        traceback.print_exc()
        outcome = Outcome(case, None, None, (f"not run: {type(error).__name__}: {str(error).splitlines()[0][:200]}",))
    kept = {"ours": outcome.ours, "peer": outcome.peer, "notes": outcome.notes}
    _file(name, case).write_text(json.dumps(kept, indent=1))
    ratio = f", ratio {outcome.ratio:.3f}" if outcome.ratio else ""
    _say(f"  ours {outcome.ours}, {case.against} {outcome.peer} {case.unit}{ratio}: {outcome.verdict}")
    for note in outcome.notes:
        _say(f"  {note}")
    return int(outcome.ours is None and not outcome.notes[0].startswith("not run: expected the peers'"))


def _kept(name: str, case: Case) -> Outcome:
    path = _file(name, case)
    if not path.exists():
        return Outcome(case, None, None)
    kept = json.loads(path.read_text())
    return Outcome(case, kept["ours"], kept["peer"], tuple(kept["notes"]))


def _file(name: str, case: Case) -> Path:
    words = "".join(letter if letter.isalnum() else "-" for letter in f"{case.name} {case.size} {case.against}".lower())
    return KEPT / f"{name}--{words}.json"


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
