# Every target prepares what it needs: on a fresh machine `make demo` or `make test` is enough.

PYTHON ?= python3
VENV ?= .venv
TORCH ?= cpu
PYTEST ?=
CHAOS ?=
WORKERS ?= 3
SIDE_BY_SIDE = -n $(WORKERS) --dist loadfile --no-loadscope-reorder
BENCHES := $(sort $(patsubst benchmarks/%.py,bench-%,$(wildcard benchmarks/[a-z]*.py)))

BIN := $(VENV)/bin
DEMO := $(VENV)/.stamp-demo
DEV := $(VENV)/.stamp-dev
TESTS := $(VENV)/.stamp-tests
FAST := not (ray or s3 or slow or gpu or long)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help venv demo docs format lint types test-fast test test-long chaos bench audit wheel clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "  TORCH=cuda takes pip's default torch build; PYTEST='-k name' chooses tests, CHAOS='--only worker 503' kinds"

venv: $(TESTS)  ## make .venv with everything a developer needs

demo: $(DEMO)  ## embed the installed packages' docstrings, then search them
	$(BIN)/corpusmill demo

format: $(DEV)  ## rewrite the sources in the project's format
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: $(DEV)  ## write the pages that are generated
	$(BIN)/python -m docs.techniques

lint: $(DEV)  ## check the format and the rules of ruff
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(DEV)  ## check the types with mypy, strictly
	$(BIN)/mypy

test-fast: $(DEV)  ## run the quick tests of operators and pipelines: no Ray, no S3, no whole runs
	$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) --hypothesis-profile=quick -m "$(FAST)" \
		--ignore=tests/cluster $(PYTEST)

test: $(TESTS)  ## run every test but the long ones
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not long" $(PYTEST)

test-long: $(TESTS)  ## run the tests that take minutes each: before a release, with `make chaos`
	$(BIN)/python -m pytest -m long $(PYTEST)

chaos: $(TESTS)  ## kill processes, harm requests, fill disks; nothing may be lost or doubled
	$(BIN)/python -m tests.chaos $(CHAOS)

bench: $(BENCHES)  ## run every benchmark

bench-embed:  ## time the embedding job against sentence-transformers

bench-%: $(TESTS)
	$(BIN)/python -m benchmarks.$*

audit: $(DEV)  ## look for known vulnerabilities in what is installed
	$(BIN)/python .ci/audit.py

wheel: $(DEMO)  ## build the wheel in dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:  ## remove what the other targets made, except .venv
	rm -rf build dist out/demo .ci/venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -path ./.venv -prune -o -name __pycache__ -prune -exec rm -rf {} +

$(DEMO): pyproject.toml .ci/install.py
	$(PYTHON) .ci/install.py --torch $(TORCH) $(VENV) demo
	touch $@

$(DEV): $(DEMO)
	$(PYTHON) .ci/install.py $(VENV) dev
	touch $@

$(TESTS): $(DEV) $(wildcard tests/models.txt)
	$(PYTHON) .ci/install.py $(VENV) models
	touch $@
