# Two commands for users: `make dev` runs a server, `make test` runs everything that CI runs.
# Both need Python 3.11+ and make, nothing else. `make help` lists the rest.

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?=
ARGS ?=
CODE := archival infra schemas search streams topology tests

# The first Python that is new enough and can make a virtual environment.
FIND_PYTHON = for python in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	"$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
		2>/dev/null && break; python=; done; \
	if [ -z "$$python" ]; then echo "Millrace needs Python 3.11 or newer with its venv module;" \
		"found $$(python3 --version 2>&1 | head -n 1): set PYTHON=/path/to/python3.11." >&2; \
	exit 1; fi
PIP = $(BIN)/python -m pip --disable-pip-version-check --no-input --quiet

.PHONY: help dev demo test check format lint types imports fast everything bench-archive bench-search lock clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

dev: $(BIN)/millrace ## Run a server until Ctrl-C; make dev ARGS="--port 7300" passes options.
	@exec $(BIN)/millrace dev --db-filename ./data/dev $(ARGS)

demo: $(BIN)/millrace ## Process 200 orders, beside a running `make dev`; make demo ARGS="--help".
	@exec $(BIN)/python -m infra.demo $(ARGS)

test: check everything ## Run everything that CI runs.

check: $(BIN)/millrace ## Check format, lint, types and import rules, and run the fast tests.
	@$(MAKE) --no-print-directory lint types imports fast

format: $(BIN)/millrace ## Format the code.
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: $(BIN)/millrace
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

types: $(BIN)/millrace
	$(BIN)/mypy

imports: $(BIN)/millrace
	$(BIN)/lint-imports .importlinter --no-cache

fast: $(BIN)/millrace
	$(BIN)/python -m pytest -m "not slow and not real" --ignore tests/end_to_end --ignore tests/chaos

everything: $(BIN)/millrace
	$(BIN)/python -m pytest -m "slow or real" --ignore tests/end_to_end --ignore tests/chaos
	$(BIN)/python -m pytest tests/end_to_end tests/chaos

# The only target that installs. A virtual environment that was moved or lost its Python is made anew.
$(BIN)/millrace: requirements.lock pyproject.toml
	@if ! $(BIN)/python -c '' 2>/dev/null || ! grep -qs "$(CURDIR)/$(VENV)/" $(BIN)/pip; then \
		$(FIND_PYTHON); rm -rf $(VENV); \
		echo "Making $(VENV) with $$("$$python" --version) and installing what requirements.lock says."; \
		"$$python" -m venv $(VENV); \
	fi
	@$(PIP) install --retries 5 --timeout 60 --require-hashes -r requirements.lock
	@$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

bench-archive: $(BIN)/millrace ## Measure archives: a run to S3, lists over a million runs, a running node.
	@$(BIN)/python -m tests.bench.archive_store
	@$(BIN)/python -m tests.bench.archive_node

bench-search: $(BIN)/millrace ## Measure search; make bench-search ARGS="--runs 100000".
	@$(BIN)/python -m tests.bench.search $(ARGS)

lock: $(BIN)/millrace ## Write requirements.lock anew from pyproject.toml.
	@rm -rf build/lock && $(BIN)/python -m venv build/lock
	@build/lock/bin/python -m pip --disable-pip-version-check install --quiet uv
	build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --upgrade --group dev pyproject.toml -o requirements.lock
	@rm -rf build/lock

clean: ## Remove what was built; the data of `make dev` stays.
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
