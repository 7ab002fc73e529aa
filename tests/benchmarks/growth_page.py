"""Writes what growth.py measured into docs/scale.md, between the marks of each interval."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
KEPT, PAGE = CHECKOUT / ".benchmarks", CHECKOUT / "docs" / "scale.md"
SHOWN_MILLIONS = (1, 2, 5, 10, 20, 30, 50, 100)
_COLUMNS = (
    *("bars", "wall s", "of it features", "CPU s, command", "CPU s, server", "peak MB, command", "peak MB, server"),
    *("disk GB", "bytes a bar", "latest of 100, ms", "of 1, ms"),
)
_HEAD = (f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|")


def table(lines: list[dict[str, Any]]) -> list[str]:
    """Return the rows of the page: each block's cost, and what is there after it."""
    blocks = [line for line in lines if "disk" in line]
    kept = [one for one in blocks if one is blocks[-1] or round(one["rows"] / 1e6) in SHOWN_MILLIONS]
    return [*_HEAD, *(_row(one) for one in kept)]


def sentences(lines: list[dict[str, Any]]) -> list[str]:
    """Return what is said below the table: the tables on disk, one new bar, the exports, where it was measured."""
    newest = [line for line in lines if "disk" in line][-1]
    tables = {name: of for name, of in newest["disk"].items() if name != "all_mb"}
    said = [
        "On disk at the end, rows + indexes: "
        + ", ".join(
            f"`{name}` {rows / 1000:.1f} + {of / 1000:.1f} GB{_parts(parts)}"
            for name, (rows, of, parts) in tables.items()
        )
        + "."
    ]
    for line in lines:
        if "export" in line:
            said.append(
                f"`features export` of {line['rows']:,} rows of `{line['export']}`: {line['wall']:.0f} s, "
                f"{line['cpu'] + line['server_cpu']:.0f} s of CPU, the command at most {line['peak_mb']:.0f} MB."
            )
        elif "disk" not in line and "published" in line:
            said.append(
                f"One new bar of each of {line['published']:,} symbols, the whole command: {line['wall']:.1f} s, "
                f"{line['advance']:.1f} s of it features."
            )
    measured = next((line for line in lines if "commit" in line), None)
    if measured:
        said.append(
            f"Commit {measured['commit']}, {measured['cores']} cores, load average {measured['load']:.0f} at the start."
        )
    return said


def _parts(parts: int) -> str:
    return f" in {parts} partitions" if parts > 1 else ""


def _row(line: dict[str, Any]) -> str:
    made = max(line["advance"], line["definitions"])
    whole = line["disk"]["all_mb"]
    cells = [
        f"{line['rows'] / 1e6:.1f} M", f"{line['wall']:.0f}", f"{made:.0f}", f"{line['cpu']:.0f}", f"{line['server_cpu']:.0f}",
        f"{line['peak_mb']:.0f}", f"{line['server_peak_mb']:.0f}", f"{whole / 1000:.1f}", f"{whole * 1e6 / line['rows']:,.0f}",
        f"{line['ms']['latest of 100']:.1f}", f"{line['ms']['latest of 1']:.1f}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Fill the page in; an interval that was never measured here, or has no marks in the page, stays as it is."""
    page = PAGE.read_text()
    for interval in ("1d", "1m"):
        file = KEPT / f"growth-{interval}.jsonl"
        if file.exists() and f"<!-- growth {interval} -->" in page:
            lines = [json.loads(line) for line in file.read_text().splitlines()]
            filled = "\n".join([*table(lines), "", *("- " + one for one in sentences(lines))])
            first, last = f"<!-- growth {interval} -->\n", f"<!-- end of growth {interval} -->"
            before, _, rest = page.partition(first)
            page = f"{before}{first}\n{filled}\n\n{last}{rest.partition(last)[2]}"
    PAGE.write_text(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
