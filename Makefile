# Everything a fresh machine needs is done by the first target it is needed for: `make demo` or `make test`.
# The first Python on this machine that is new enough.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test test-long test-servers test-edge test-matrix check format mutants bench faults redis docs clean

demo: .venv/demo
	$(BIN)/ratekit demo

test: .venv/dev .venv/bench check redis
	$(BIN)/pytest -n 2 --dist loadfile

# 10,000 histories a rule and 1,000,000 concurrent attempts instead of 500 and 100,000; ten minutes of random faults, recorded histories,
# killed clients, a million identities (RATEKIT_FAULT_SECONDS=3600: an hour of faults).
test-long: .venv/dev redis
	RATEKIT_LONG=1 $(BIN)/pytest

# Every store's tests against another server: make test-servers SERVER=/path/to/redis-server (or valkey-server).
STORES := tests/engine tests/counters tests/upstash tests/topology
test-servers: .venv/dev
	@test -x "$(SERVER)" || { echo "name a server: make test-servers SERVER=/path/to/redis-server"; exit 1; }
	$(SERVER) --version
	RATEKIT_TEST_SERVER=$(abspath $(SERVER)) $(BIN)/pytest -n 2 --dist loadfile $(STORES)

# Cloudflare's own runtime and SDK, Upstash's SDK and an independent emulator against what ratekit says of them; some 300 MB from npm
# and PyPI the first time.
test-edge: .venv/edge redis tests/edge/node_modules
	RATEKIT_EDGE=1 $(BIN)/pytest tests/edge

tests/edge/node_modules: tests/edge/package.json tests/edge/get_npm.sh
	@sh tests/edge/get_npm.sh

# Each adapter with only its own framework installed, in the oldest version that is supported and in the newest, from PyPI; some
# minutes. Some: .venv/bin/python tests/matrix/run.py --help
test-matrix: .venv/dev redis
	$(BIN)/python tests/matrix/run.py

# Each patch in tests/mutants breaks one promise; the test that it names must turn red.
mutants: .venv/dev redis
	$(BIN)/python tests/mutants/run.py

# Every row of docs/performance.md beside its peers, in some 20 minutes. Some: .venv/bin/python benchmarks/run.py --help
bench: .venv/bench redis
	@sh benchmarks/get_wrk.sh
	$(BIN)/python benchmarks/run.py

# Every row of the table in docs/reliability.md, three runs each (the longest one), in some 20 minutes. Some: .venv/bin/python tests/faults/run.py --help
faults: .venv/dev redis
	$(BIN)/python tests/faults/run.py

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/basedpyright

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The pictures and tables in docs/ that a command makes.
docs: .venv/dev
	$(BIN)/python docs/draw_algorithms.py
	$(BIN)/python docs/draw_edge.py

redis:
	@sh tests/get_redis.sh

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "ratekit needs Python 3.11 or newer: install it, or name it: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "venv is missing: on Debian, apt-get install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

.venv/demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	@touch $@

.venv/dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	@touch $@ .venv/demo

.venv/edge: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev --group edge
	@touch $@ .venv/dev .venv/demo

.venv/bench: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group bench
	@touch $@

clean:
	rm -rf .venv tests/edge/node_modules build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
