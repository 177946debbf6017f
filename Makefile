# The verbs of this repository. CI calls the same ones.
VENV ?= .venv
PYTHON ?= python3
BIN := $(abspath $(VENV))/bin
INSTALLED := $(VENV)/.installed
DEVELOP := $(VENV)/.installed-dev
GATEWAY := $(VENV)/.installed-boards
comma := ,
export PATH := $(BIN):$(PATH)
# Modules are compiled once, at their first import, and not again in every process.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help gateway install develop emulators demo docs lock clean
.PHONY: check test nightly workflows test-runners test-base device-test bench

help: ## list the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

gateway: $(GATEWAY) ## make .venv with what a machine beside a board needs, which trains nothing

install: $(INSTALLED) ## make .venv with the locked packages of the pipeline

develop: $(DEVELOP) ## the same with what tests and checks need

# Modules are compiled when first imported, not all at once. A venv that already has exactly these packages (restored by
# CI, or given as VENV=) is left as it is.
define install_extras
sum=$$(cat requirements.lock pyproject.toml | sha256sum); \
if [ "$$sum" != "$$(cat $@ 2>/dev/null)" ]; then \
  set -e; echo "installing the locked packages into $(VENV): a few minutes, once"; \
  [ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV); \
  $(BIN)/pip install --quiet --no-compile --disable-pip-version-check --constraint requirements.lock --editable '.[$(1)]'; \
  echo "$$sum" > $@; \
else touch $@; fi
endef

$(INSTALLED): requirements.lock pyproject.toml
	@$(call install_extras,cloud)

$(GATEWAY): requirements.lock pyproject.toml
	@$(call install_extras,boards)

$(DEVELOP): requirements.lock pyproject.toml
	@$(call install_extras,cloud$(comma)cluster$(comma)ingest$(comma)dev)
	@cp $@ $(INSTALLED)

demo: install ## train, compress, export, re-test and gate a real model on real video regions
	@edgeproof emulators install denverton || echo "going on without: results stay unaudited, and nothing passes so"
	@edgeproof data fetch
	@dvc repro
	@edgeproof gate || [ $$? -ne 2 ]
	@echo "report: file://$(CURDIR)/artifacts/report/index.html"

TARGET ?= atom-x5-e3940
BOARD ?= emulated-$(TARGET)
device-test: develop ## test candidates on a board: TARGET=... for an emulated one, BOARD=... for any; CANDIDATE=, BASE=
	@mkdir -p artifacts/device
	@pytest -q -p no:cacheprovider tests/device --board $(BOARD) $(CANDIDATE:%=--candidate %) $(BASE:%=--base %) \
	  --benchmark-json artifacts/device/$(notdir $(basename $(BOARD))).json

emulators: develop ## fetch the CPU emulators that audits and tests run on
	@edgeproof emulators install

test: emulators ## pass all tests that must stay green
	@pytest -q -n 2 --dist loadgroup --no-loadscope-reorder

nightly: emulators ## pass the tests that take too long for every change, and the random ones on new examples
	@pytest -q -m "nightly or hypothesis" --hypothesis-profile="new examples"

workflows: emulators ## run the workflows of .github/ on this machine, with act, for every change that the tests know
	@pytest -q -m "" tests/workflows

test-runners: develop ## pass the tests of what runs on devices, on this machine's own architecture
	@pytest -q tests/loop tests/provision $$(grep -lE '^(from|import) runners' tests/unit/*.py)

test-base: ## pass the tests of the base packages alone, in a new environment of PYTHON= with their newest versions
	@set -e; room=$$(mktemp -d); trap 'rm -rf '"$$room" EXIT; $(PYTHON) -m venv $$room; \
	$$room/bin/pip install --quiet --disable-pip-version-check --editable . pytest; \
	$$room/bin/pytest -q -p no:cacheprovider --noconftest tests/unit/test_extras.py

bench: emulators ## measure what the project promises of itself, as ratios; needs a quiet machine
	@pytest -q -p no:cacheprovider tests/benchmarks

check: develop ## formatting, lint, types, floors, device Python, shell, workflows
	@ruff format --check .
	@ruff check .
	@mypy
	@found=$$(lint-imports --no-logo --no-cache) || { echo "$$found"; exit 1; }
	@vermin --quiet --no-tips --target=3.6- --violations --exclude-regex '/runners/agent/' runners
	@vermin --quiet --no-tips --target=3.8- --violations runners/agent
	@shellcheck --external-sources $$(grep -rIlE '^(#!.*bash|# shellcheck shell=bash)' .ci runners tests)
	@actionlint
	@check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@check-jsonschema --builtin-schema vendor.github-actions .github/actions/*/action.yml
	@zizmor --offline --quiet --persona=auditor .github

docs: develop ## write docs/reference.md from the program itself
	@python -m pipeline.cli.reference docs/reference.md

lock: ## resolve pyproject.toml anew and write requirements.lock
	@set -e; fresh=$$(mktemp -d); trap 'rm -rf '"$$fresh" EXIT; \
	$(PYTHON) -m venv $$fresh; \
	$$fresh/bin/pip install --quiet torch==2.13.0; \
	$$fresh/bin/pip install --quiet -e '.[cloud,cluster,boards,ingest,dev]'; \
	{ echo "# Written by 'make lock' from pyproject.toml."; \
	  $$fresh/bin/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > requirements.lock

clean: ## delete all that can be made again (the data and DVC's cache stay)
	@rm -rf artifacts .import_linter_cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
