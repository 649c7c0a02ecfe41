# Needs python3 (3.11 or newer) and make, nothing else. Each target says what it does and sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Data sets are found under the folder that SAYWHERE_DATA names.
export SAYWHERE_DATA ?= $(abspath $(wildcard ../shared/data))

.PHONY: help annotate demo test pictures clean

help:  ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/ -/'

.venv/annotate: pyproject.toml
	@echo "== installing into .venv (a minute or two, mostly torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --editable '.[annotate,demo]'
	@touch $@

.venv/demo: pyproject.toml
	@echo "== installing into .venv (a minute or two, mostly torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --editable '.[demo]'
	@touch $@

.venv/dev: pyproject.toml
	@echo "== installing into .venv with the tools for tests (a minute or two, mostly torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@ .venv/demo .venv/annotate

annotate: .venv/annotate  ## annotate sample photographs in the browser
	@$(BIN)/python examples/annotate_samples.py demo/photographs
	@$(BIN)/saywhere annotate demo/photographs --label person --label cat --label cup --label rocket

demo: .venv/demo  ## cut objects out of sample photographs; writes demo/demo.png
	@echo "== segmenting sample photographs from the clicks that the README names"
	@$(BIN)/python examples/demo.py

# The page is tried in a real browser; without one those tests say so and are skipped.
.venv/chromium: .venv/dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "== installing chromium" && \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
	  echo "== no chromium, and it cannot be installed from here: the tests of the page will be skipped"
	@touch $@

test: .venv/dev .venv/chromium  ## run every test
	@echo "== formatting, types, tests"
	@$(BIN)/ruff check src tests examples tools
	@$(BIN)/ruff format --check --quiet src tests examples tools
	@$(BIN)/mypy
	@$(BIN)/pytest

pictures: .venv/dev .venv/chromium  ## make the documents' pictures of the annotator anew
	@SAYWHERE_PICTURES=docs/images $(BIN)/pytest tests/annotate/test_annotate_page.py -k pictures

clean:  ## remove what the other targets made
	rm -rf .venv demo build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
