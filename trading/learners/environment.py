"""The numeric environment: what, besides a model's bits, decides the bits of its answers.

One pinned setting for training, serving and replay: one thread per library and an AVX2 baseline, so that two machines
with different wider instructions compute alike. It only works if it is set before numpy and torch are imported, hence
from each process's first lines or from its parent. The fingerprint says what is in force, not what was wished.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping, MutableMapping
from importlib import metadata
from pathlib import Path

PINNED: Mapping[str, str] = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_CBWR": "AVX2",
    "ATEN_CPU_CAPABILITY": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",  # numpy 2.4's names for what is wider than AVX2
}
_X86 = frozenset({"x86_64", "AMD64"})
_LOCK = Path(__file__).resolve().parents[2] / "requirements.lock"
_LIBRARIES = ("numpy", "torch", "stable-baselines3")


def pin_numeric_environment(environ: MutableMapping[str, str] | None = None) -> dict[str, str]:
    """Set the pinned variables in `environ` (this process's own by default) and return them.

    For a child process: `{**os.environ, **pin_numeric_environment({})}`. On a machine that is not x86 only the thread
    counts apply.
    """
    target = os.environ if environ is None else environ
    is_x86 = platform.machine() in _X86
    pinned = {name: value for name, value in PINNED.items() if is_x86 or name.endswith("_NUM_THREADS")}
    target.update(pinned)
    return pinned


def numeric_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the fingerprint of this process: one flat dictionary of text, equal where answers are promised equal."""
    import numpy as np

    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    variables = os.environ if environ is None else environ
    return {
        "lock_hash": lock_hash(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpu_capability": " ".join(sorted([*simd["baseline"], *simd.get("found", [])])),
        **{f"version:{name}": _version(name) for name in _LIBRARIES},
        **{name: variables.get(name, "") for name in PINNED},
    }


def environment_differences(recorded: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """Return the names whose values differ; empty means that bits are promised to be equal."""
    return sorted(name for name in {*recorded, *here} if recorded.get(name) != here.get(name))


def lock_hash(lock: Path = _LOCK) -> str:
    """Return the sha256 of the lock file; where none is shipped, of the distributions that are installed."""
    if lock.is_file():
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    installed = sorted(f"{one.name.lower()}=={one.version}" for one in metadata.distributions())
    return "installed:" + hashlib.sha256("\n".join(installed).encode()).hexdigest()


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:  # a service image carries no learner; its answers do not rest on one
        return ""
