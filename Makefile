# The commands of Tradeloom. Each creates .venv from requirements.lock when it is not there or out of date.
# Nothing but Python 3.11+, make and the package registries is needed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := orchestration assets serving feature_store trading infra

.PHONY: demo test test-all check format up down bench lock clean help

help:
	@echo "make demo      the main job, end to end, on the sample data"
	@echo "make up        start the engines, the UIs and the services; Ctrl-C stops them"
	@echo "make test      the tests            make test-all   the long ones too"
	@echo "make check     ruff, mypy, import-linter, sqlfluff"
	@echo "make bench     measure beside the peers, write docs/benchmarks.md (CASES=asof,online: some)"

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Tradeloom needs Python 3.11 or later; `%s` is %s. Run: make PYTHON=/path/to/python3.11" % (sys.executable, sys.version.split()[0])) if sys.version_info < (3, 11) else None'
	@echo "Installing into $(VENV) from requirements.lock (about 660 MB on a first run) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/tradeloom demo

up: $(STAMP)
	@$(BIN)/tradeloom up

down: $(STAMP)
	@$(BIN)/tradeloom down

# Three workers, a file each at a time: most tests wait for engines (two leave a third of two cores idle), and a file's
# tests share theirs. In their order: the longest, tests/e2e, come first, and no worker is left alone with one at the end.
PYTEST := $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test: $(STAMP)
	$(PYTEST) -m "not long" --durations 15

test-all: $(STAMP)
	$(PYTEST) --durations 15

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --processes 1 dbt infra

# Peers live apart: what they need is not what we need (Feast wants an older pandas than the other peers).
.venv-bench/.installed: requirements-bench.lock requirements-bench-feast.lock
	@echo "Installing the peers into .venv-bench (about 670 MB) ..."
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-bench.lock
	@test -x .venv-bench/feast/bin/python || $(PYTHON) -m venv .venv-bench/feast
	@.venv-bench/feast/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-bench-feast.lock
	@touch .venv-bench/.installed

bench: $(STAMP) .venv-bench/.installed
	@$(BIN)/python tests/benchmarks/run.py $(CASES)

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis dbt/target dbt/logs build *.egg-info
