# Needs python3 (3.11 or newer) and make, nothing else. Each target says what it does and sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Where this is set, each of the many processes that the tests start would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE
# Data sets are found under the folder that SAYWHERE_DATA names.
export SAYWHERE_DATA ?= $(abspath $(wildcard ../shared/data))

.PHONY: help annotate demo test test-all test-integrations test-fiftyone check docs fuzz pictures clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/ -/'

# Bytecode is written for what is used, not for all that is installed: quicker, and 40 MB less.
.venv/base: pyproject.toml
	@echo "== installing into .venv (400 MB, half a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --no-compile --editable .
	@touch $@

.venv/dev: pyproject.toml packages/papers/pyproject.toml packages/large/pyproject.toml constraints.txt
	@echo "== installing into .venv with the tools for tests (7 GB, a minute or two, mostly torch)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --no-compile --editable '.[dev]' --editable packages/papers --editable packages/large \
	  --constraint constraints.txt
	@touch $@ .venv/base

annotate: .venv/base  ## annotate sample images in the browser
	@$(BIN)/saywhere annotate demo/images --samples --label person --label cat --label cup --label rocket

demo: .venv/base  ## cut objects out of sample photographs; writes demo/demo.png
	@echo "== segmenting sample photographs from the clicks that the README names"
	@$(BIN)/python examples/demo.py

# The page is tried in a real browser; without one those tests say so and are skipped. Chromium's headless shell takes half
# of the processor time that the whole browser takes.
.venv/chromium: .venv/dev
	@command -v chromium-headless-shell >/dev/null || { \
	  test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "== installing chromium" && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium-headless-shell >/dev/null 2>&1; } || \
	  command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { test "$$(id -u)" = 0 && \
	  command -v apt-get >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null 2>&1; } || \
	  echo "== no chromium, and it cannot be installed from here: the tests of the page will be skipped"
	@touch $@

check: .venv/dev  ## formatting and types
	@echo "== formatting, types"
	@$(BIN)/ruff check --quiet src tests examples benchmarks tools fuzz integrations
	@$(BIN)/ruff format --check --quiet src tests examples benchmarks tools fuzz integrations
	@$(BIN)/mypy

# Three test processes for two cores (tests/conftest.py); torch and ONNX Runtime compute on one thread in each.
test: check .venv/chromium  ## formatting, types, import contract and all tests but the slow ones
	@echo "== tests"
	@$(BIN)/pytest -n auto --dist worksteal -m "not slow"

test-all: check .venv/chromium  ## the same with the slow tests: the built wheel, whole trainings
	@echo "== tests, slow ones too"
	@$(BIN)/pytest -n auto --dist worksteal

# An environment of its own: label-studio-sdk brings opencv-python 4, which overwrites opencv-python-headless 5.
INTEGRATIONS := .venv-integrations
$(INTEGRATIONS)/ready: pyproject.toml constraints.txt
	@echo "== installing into $(INTEGRATIONS) with the SDKs of Label Studio and CVAT, napari, osam (800 MB, a minute or two)"
	@test -x $(INTEGRATIONS)/bin/python || $(PYTHON) -m venv $(INTEGRATIONS)
	@$(INTEGRATIONS)/bin/python -m pip install --quiet --no-compile --editable . label-studio-sdk cvat-sdk cvat-cli \
	  napari osam pytest hypothesis httpx --constraint constraints.txt
	@$(INTEGRATIONS)/bin/python -m pip uninstall --quiet --yes opencv-python opencv-python-headless
	@$(INTEGRATIONS)/bin/python -m pip install --quiet --no-compile --no-deps opencv-python-headless \
	  --constraint constraints.txt
	@touch $@

test-integrations: $(INTEGRATIONS)/ready  ## adapters for Label Studio, CVAT, napari and labelme, with their packages
	@$(INTEGRATIONS)/bin/python -m pytest --disable-warnings tests/integrations

# FiftyOne brings MongoDB and versions of its own, so it has an environment for itself.
FIFTYONE := .venv-fiftyone
$(FIFTYONE)/ready: pyproject.toml
	@echo "== installing into $(FIFTYONE) with FiftyOne and its database (1 GB, a minute or two)"
	@test -x $(FIFTYONE)/bin/python || $(PYTHON) -m venv $(FIFTYONE)
	@$(FIFTYONE)/bin/python -m pip install --quiet --no-compile --editable . fiftyone pytest hypothesis httpx
	@touch $@

test-fiftyone: $(FIFTYONE)/ready  ## the adapter for FiftyOne, with FiftyOne
	@SAYWHERE_FIFTYONE=real $(FIFTYONE)/bin/python -m pytest --disable-warnings tests/integrations/test_fiftyone.py

# make fuzz SECONDS=600 SEED=3; the inputs of failures are kept in fuzz/failures.
SECONDS ?= 60
SEED ?= 0
fuzz: .venv/dev  ## damaged and hostile inputs for every reader and the server, SECONDS each, from SEED on
	@$(BIN)/python -m fuzz --seconds $(SECONDS) --seed $(SEED)

# An environment of its own: 450 MB instead of 7 GB.
.venv-docs/ready: pyproject.toml constraints.txt
	@echo "== installing into .venv-docs with the tools for the site (450 MB, half a minute)"
	@test -x .venv-docs/bin/python || $(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --no-compile --editable '.[docs]' --constraint constraints.txt
	@touch $@

docs: .venv-docs/ready  ## build the documentation site into build/site, strictly and without the network
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --quiet
	@echo "== build/site/index.html"

pictures: .venv/dev .venv/chromium  ## make the documents' pictures of the annotator anew
	@SAYWHERE_PICTURES=docs/images $(BIN)/pytest tests/annotate/test_annotate_page.py -k pictures
	@$(BIN)/python tools/moving_picture.py

clean:  ## remove what the other targets made
	rm -rf .venv .venv-docs .venv-fiftyone .venv-integrations demo build *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache
