# Needs python3 (3.11 or newer) and make, nothing else. Each target says what it does and sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Data sets are found under the folder that SAYWHERE_DATA names.
export SAYWHERE_DATA ?= $(abspath $(wildcard ../shared/data))

.PHONY: help demo test clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/ -/'

.venv/demo: pyproject.toml
	@echo "== installing into .venv (a minute or two, mostly torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

.venv/dev: pyproject.toml
	@echo "== installing into .venv with the tools for tests (a minute or two, mostly torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/demo

demo: .venv/demo  ## cut objects out of sample photographs; writes demo/demo.png
	@echo "== segmenting sample photographs from the clicks that the README names"
	@$(BIN)/python examples/demo.py

test: .venv/dev  ## run every test
	@echo "== formatting, types, tests"
	@$(BIN)/ruff check src tests examples
	@$(BIN)/ruff format --check --quiet src tests examples
	@$(BIN)/mypy
	@$(BIN)/pytest

clean:  ## remove what the other targets made
	rm -rf .venv demo build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
