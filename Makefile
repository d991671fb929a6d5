# Every target needs nothing done before it: what it needs, it makes.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The first of these that runs and is new enough makes .venv; `make install PYTHON=...` says another.
PYTHON ?=
PYTHONS := $(PYTHON) python3.11 python3.12 python3.13 python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install check format test acceptance demo bench constraints clean

help: ## Say what there is
	@sed -nE 's/^([a-z]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

install: $(STAMP) ## Make .venv with everything in it, at the versions of constraints.txt

$(BIN)/python:
	@for python in $(PYTHONS); do \
	  if "$$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	    echo "making .venv with $$("$$python" --version)"; \
	    rm -rf .venv; \
	    exec "$$python" -m venv .venv; \
	  fi; \
	done; \
	echo "no Python of at least 3.11 was found (tried: $(PYTHONS)): install one, or name it with PYTHON=" >&2; \
	exit 1

# torch is resolved in the same command and under the same pins as what asks for it, so that nothing brings another.
$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing what constraints.txt pins: a few minutes the first time"
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check \
	  --constraint constraints.txt 'torch==2.13.0' --editable '.[dev]'
	@touch $@

check: install ## Style, types, and who imports whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-logo

format: install ## Bring the tree into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: install ## Unit and integration tests
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/integration tests/unit  # the long ones first

acceptance: install ## What a user is promised, end to end; HOLDFAST_DATASETS names a folder of data sets
	$(BIN)/python -m pytest tests/acceptance tests/browser

demo: install ## Two example tenants, ingested and served
	$(BIN)/holdfast demo

bench: install ## Ratios against peers and bounds
	@for benchmark in ingestion search_latency index open_tenants; do \
	  echo "== $$benchmark"; \
	  $(BIN)/python -m "benchmarks.$$benchmark"; \
	done

constraints: install ## Write the versions that .venv has into constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//' > constraints.new
	@mv constraints.new constraints.txt

clean: ## Remove what the targets made, the state of Holdfast aside
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
