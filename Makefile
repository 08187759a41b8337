# The house's front door. `make help` lists what can be done.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
DEV    := $(VENV)/.dev
DATA   ?= /var/lib/podium

.PHONY: help install run stop test check bench clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# Wheels only: a bare machine has no compiler. editable_mode=compat puts the house on the path without
# an import hook, which every start of `podium` would pay for.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--root-user-action ignore --only-binary :all: --config-settings editable_mode=compat

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("podium needs Python 3.11 or later") if sys.version_info < (3, 11) else None'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { apt-get update -q && apt-get install -qy python3-venv; }
	@test -x $(BIN)/pip || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing Podium into $(VENV)"
	@$(PIP_INSTALL) --editable .
	@touch $@

$(DEV): $(STAMP) .ci/test-tools
	@echo "installing what the tests need"
	@$(PIP_INSTALL) --editable '.[dev]'
	@.ci/test-tools $(BIN)
	@touch $@

# Where PYTHONDONTWRITEBYTECODE is set, as in many containers, each process would compile the house
# anew at its start.
install: $(STAMP)  ## install Podium into .venv
	@$(BIN)/python -m compileall -q podium apiserver controllers kubelet migrations

run: install  ## start a cluster, apply the first lesson, show where to look
	@$(BIN)/podium up --detach --first-lesson --data-dir $(DATA) $(if $(PORT),--port $(PORT))

stop: install  ## stop the cluster and its containers, keep the data
	@$(BIN)/podium down --data-dir $(DATA)

test: $(DEV)  ## run the whole test suite (as root)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest

check: $(DEV)  ## lint, types, import contracts and unit tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/unit

bench: $(DEV) install  ## measure, beside the bare kernel; prints a table, draws bench/out/*.png
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m bench

clean:  ## remove what was built, not the cluster's data
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache bench/out
