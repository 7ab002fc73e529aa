import hashlib
import os
import subprocess
import sys

from trading.learners.environment import (
    PINNED,
    environment_differences,
    lock_hash,
    numeric_environment,
    pin_numeric_environment,
)


def test_a_pinned_process_computes_at_the_avx2_baseline_on_one_thread():
    script = (
        "from trading.learners.environment import *\n"
        "pin_numeric_environment()\n"
        "import torch\n"
        "found = numeric_environment()\n"
        "print(found['cpu_capability'], found['OMP_NUM_THREADS'], torch.backends.cpu.get_cpu_capability(), sep='|')\n"
    )
    bare = {name: value for name, value in os.environ.items() if name not in PINNED}
    run = subprocess.run([sys.executable, "-c", script], env=bare, capture_output=True, text=True, check=True)
    capability, threads, torch_capability = run.stdout.strip().split("|")
    assert not {"X86_V4", "AVX512_ICL", "AVX512_SPR"} & set(capability.split())
    assert threads == "1"
    assert torch_capability in {"AVX2", "DEFAULT"}


def test_pinning_a_childs_environment_leaves_this_process_alone():
    before = dict(os.environ)
    child: dict[str, str] = {"OMP_NUM_THREADS": "9"}
    assert pin_numeric_environment(child)["OMP_NUM_THREADS"] == "1"
    assert child["OMP_NUM_THREADS"] == "1"
    assert dict(os.environ) == before


def test_fingerprint_says_what_is_in_force():
    found = numeric_environment({"MKL_CBWR": "AVX2"})
    assert found["MKL_CBWR"] == "AVX2"
    assert found["OMP_NUM_THREADS"] == ""
    assert all(isinstance(value, str) for value in found.values())


def test_differences_are_named():
    here = numeric_environment({})
    assert environment_differences(here, dict(here)) == []
    assert environment_differences(here, {**here, "python": "2.7", "new": "x"}) == ["new", "python"]


def test_lock_hash_is_the_files_or_that_of_what_is_installed(tmp_path):
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==2.4.6\n")
    assert lock_hash(lock) == hashlib.sha256(b"numpy==2.4.6\n").hexdigest()
    assert lock_hash(tmp_path / "none").startswith("installed:")
