# Everything a developer does, from a fresh clone on: `make run`, `make test`, `make check`.
#
# PYTHON is the interpreter that the environment in VENV is made with, once; it is made anew when PYTHON or
# pyproject.toml has changed. Two interpreters: make test PYTHON=python3.13 VENV=.venv-3.13
# JOBS is the number of processes that tests run in; JOBS=0: in one, where a debugger can be (ARGS=--pdb).

PYTHON ?= python3
VENV ?= .venv
ARGS ?=
JOBS ?= 3
FUZZ_SECONDS ?= 30
CHAOS_SECONDS ?= 300

SHELL := /bin/bash
# Compiled modules are kept, whatever the environment says: the tests start the program a thousand times, and compiling
# is half of a start.
export PYTHONDONTWRITEBYTECODE :=
BIN := $(VENV)/bin
# The stamps hold the PYTHON that they were made with; an environment of another one, or a broken one, is stale.
STALE := $(shell [ -x $(BIN)/python ] && [ "$$(cat $(VENV)/made-with 2>/dev/null)" = "$(PYTHON)" ] || echo stale)

.PHONY: help run test check lint package bench fuzz chaos pages captures clean stale
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo 'make run      serve www/ on http://127.0.0.1:8080 (ARGS="--port 9000" adds options of wsrv serve)'
	@echo 'make test     all tests, in JOBS=3 processes (ARGS="-k lru" adds options of pytest)'
	@echo 'make lint     ruff, mypy --strict, import contracts'
	@echo 'make check    lint, all tests, then the built wheel in an empty environment'
	@echo 'make bench    CPU time a request, beside nginx and whatever other servers are installed; the table of the README'
	@echo 'make fuzz     bytes that nobody thought of, 30 s for each target (FUZZ_SECONDS=300, ARGS="head toml", ARGS=--keep)'
	@echo 'make pages    the manual pages and completion scripts anew, after a change of a command'
	@echo 'make captures TERMINAL.md anew: what the commands show, from a server under load'
	@echo 'make chaos    a server under load, 5 minutes of faults, every answer checked (CHAOS_SECONDS=60, ARGS="--seed 7")'
	@echo 'make clean    remove what the others made'

run: $(VENV)/ready
	$(BIN)/wsrv serve www --host 127.0.0.1 --port 8080 $(ARGS)

test: $(VENV)/ready-for-tests
	@wanted=$$(sed 's/#.*//' tests/apt.txt); missing=; \
	for package in $$wanted; do \
	    [ "$$(dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null)" = installed ] || missing+=" $$package"; \
	done; \
	[ -z "$$missing" ] || { \
	    [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && export DEBIAN_FRONTEND=noninteractive && \
	    { apt-get install -qq --no-install-recommends $$missing || \
	      { apt-get update -qq && apt-get install -qq --no-install-recommends $$missing; }; } >/dev/null 2>&1; \
	} || echo "wsrv: some tests need Debian packages that are missing here: apt-get install$$missing"
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: lint test package

lint: $(VENV)/ready-for-tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

package: $(VENV)/ready-for-tests
	$(BIN)/python tests/house/installed.py

bench: $(VENV)/ready-for-tests
	$(BIN)/python -m tests.bench.peers --into README.md $(ARGS)

fuzz: $(VENV)/ready-for-fuzz
	$(BIN)/python -m tests.fuzz.run --seconds $(FUZZ_SECONDS) $(ARGS)

pages: $(VENV)/ready-for-tests
	$(BIN)/python -m tests.house.manpages
	$(BIN)/wsrv completion bash >completions/wsrv.bash
	$(BIN)/wsrv completion zsh >completions/_wsrv
	$(BIN)/wsrv completion fish >completions/wsrv.fish

captures: $(VENV)/ready-for-tests
	$(BIN)/python -m tests.house.captures

chaos: $(VENV)/ready-for-tests
	$(BIN)/python -m tests.chaos.run --seconds $(CHAOS_SECONDS) $(ARGS)

clean:
	rm -rf .fuzz .venv .venv-* $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find cli engine plugins tests -name __pycache__ -type d -exec rm -rf {} +

$(VENV)/made-with: pyproject.toml $(if $(STALE),stale)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "wsrv needs Python 3.11 or newer; '$(PYTHON)' is not: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	    { echo "'$(PYTHON)' cannot make environments; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@# The links are part of the repository; an unpacked sdist comes without them.
	@mkdir -p .dev/wsrv && cd .dev/wsrv && for room in cli engine plugins www; do [ -e $$room ] || ln -s ../../$$room; done && \
	    { [ -e testing ] || ln -s ../../tests/suites testing; }
	$(PYTHON) -m venv --clear $(VENV)
	@echo '$(PYTHON)' >$@

$(VENV)/ready: $(VENV)/made-with
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable .
	@touch $@

$(VENV)/ready-for-tests: $(VENV)/made-with
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/ready

$(VENV)/ready-for-fuzz: $(VENV)/ready-for-tests
	$(BIN)/python -m pip install -qq --disable-pip-version-check --editable '.[fuzz]'
	@touch $@
