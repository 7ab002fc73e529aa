"""CPU of loading the definitions, beside importing Dagster and dagster-dbt alone: what our own assets add.

Every run and every step of Dagster pays it again. Run: `python tests/benchmarks/load_definitions.py`.
"""

import resource
import statistics
import subprocess
import sys

RUNS = 5
OURS = "import orchestration.definitions"
BARE = "import dagster, dagster_dbt"


def cpu_seconds(code: str) -> float:
    """Return user and system seconds of a fresh interpreter that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Take turns, so that a machine that slows down slows both, and print medians and their ratio."""
    for code in (OURS, BARE):  # warm: byte code, and the dbt manifest
        cpu_seconds(code)
    pairs = [(cpu_seconds(OURS), cpu_seconds(BARE)) for _ in range(RUNS)]
    ours, bare = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(one / other for one, other in pairs)
    sys.stdout.write(
        f"definitions {ours:.2f} s CPU, dagster alone {bare:.2f} s, ratio {ratio:.2f} (medians of {RUNS})\n"
    )


if __name__ == "__main__":
    main()
