# The exchange on this machine, in one command each. Needs make and Python 3.11 or newer, nothing else;
# the tests also need Java 17 and Maven for a real broker, and Go 1.25 for a real S3 server and the programs of Kubernetes,
# which they install by themselves as root on Debian (Go only on Debian 13: what 12 has is too old). `test-cluster` needs root.

VENV     := .venv
BIN      := $(VENV)/bin
DATA_DIR ?= ./data
UP_DIR   ?= $(DATA_DIR)/distributed
HOST     ?= 127.0.0.1
PORT     ?= 3001
# A particular interpreter, such as `make run PYTHON=/opt/python3.12/bin/python3`.
PYTHON   ?=
# One test process a core; a file's tests stay together, so that a server which they share starts once.
PYTEST   ?= -n auto --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run up down demo test test-cluster lint bench dashboards clean

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## Start the exchange with demo assets and users on HOST:PORT (127.0.0.1:3001), data in DATA_DIR (./data)
	@exec $(BIN)/exchange local --demo --host $(HOST) --port $(PORT) --data-dir $(DATA_DIR)

up: $(VENV)/.installed ## Start the distributed form, with a real broker and database, on HOST:PORT, data in UP_DIR (DATA_DIR/distributed)
	@exec $(BIN)/python -m tests.real.up $(UP_DIR) --host $(HOST) --port $(PORT)

down: $(VENV)/.installed ## Stop what `make up` started, and keep its data; CLEAN=1 removes it
	@exec $(BIN)/python -m tests.real.up $(UP_DIR) --down $(if $(CLEAN),--clean)

demo: $(VENV)/.installed ## Play the whole story against the exchange that `make run` or `make up` started
	@exec $(BIN)/exchange demo --host $(HOST) --port $(PORT) \
	    --data-dir $(if $(wildcard $(UP_DIR)/running.json),$(UP_DIR),$(DATA_DIR))

test: lint ## Check everything: style, types, layers, unit, contract, simulation and end-to-end tests
	$(BIN)/pytest $(PYTEST)

test-cluster: $(VENV)/.installed-dev ## Check the operator, chart and image on a real Kubernetes node, which it starts on this machine; as root
	$(BIN)/python -m tests.cluster.tools
	$(BIN)/pytest tests/cluster -n 0 -vv -s

lint: $(VENV)/.installed-dev ## The part of `make test` that runs nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev ## Print how fast the parts are on this machine
	@set -e; for file in benchmarks/bench_*.py; do \
	    name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m benchmarks.$$name; \
	done

dashboards: $(VENV)/.installed-dev ## Write the chart's Grafana dashboards from operator/exchange_dashboards
	$(BIN)/python -m exchange_dashboards

clean: ## Remove what was installed and cached; DATA_DIR stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3 python; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Making $(VENV) with $$("$$python" --version)"; exec "$$python" -m venv $(VENV); \
	    fi; \
	done; \
	echo "The exchange needs Python 3.11 or newer with its venv module, and found none; newest python3 here:" \
	     "$$(python3 --version 2>/dev/null || echo none). Install one (on Debian: apt install python3 python3-venv)" \
	     "or name one: make PYTHON=/path/to/python3.11" >&2; exit 1

# Stamps: what is installed is looked at again only when pyproject.toml changes.
$(VENV)/.installed: pyproject.toml | $(BIN)/python
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ $(VENV)/.installed
