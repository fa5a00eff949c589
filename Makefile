PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run serve test test-lowest lock mutation bench bench-live assets clean .venv-lean

# The versions to install, for reproducible test runs on every supported Python.
LOCK := requirements-dev.lock

# Run the demo; needs no key, and no network except the package index.
run: $(VENV)/.installed
	$(BIN)/backtest-server demo

# Start the web server on http://127.0.0.1:8000.
serve: $(VENV)/.installed-serve assets
	$(BIN)/backtest-server serve

# All checks of the main branch: style, types, import rules, spelling, tests. The tests of a module share servers and a
# browser, so that a module stays in one process.
test: $(VENV)/.installed-test .venv-lean assets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# The real LEAN CLI for tests, with what its commands import: quantconnect-stubs and the terminal pages are left out.
LEAN_CLI := .venv-lean
LEAN_CLI_VERSION := 1.0.230

.venv-lean: $(LEAN_CLI)/.installed-$(LEAN_CLI_VERSION)

$(LEAN_CLI)/.installed-$(LEAN_CLI_VERSION):
	$(PYTHON) -m venv --clear $(LEAN_CLI)
	$(LEAN_CLI)/bin/pip install --quiet --no-deps lean==$(LEAN_CLI_VERSION)
	$(LEAN_CLI)/bin/pip install --quiet --no-warn-conflicts click requests json5 docker rich pydantic python-dateutil lxml joblib packaging cryptography
	touch $@

# Run the unit tests with the lowest versions that setup.cfg allows, in a separate virtual environment.
LOWEST := .venv-lowest

test-lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct -e '.[test,bench]'
	$(LOWEST)/bin/pytest tests/unit

# Change the modules of setup.cfg's [mutmut] one place at a time, and list the changes with which the tests still pass.
MUTATION := .venv-mutation

mutation: $(MUTATION)/.installed
	rm -rf mutants
	$(MUTATION)/bin/mutmut run
	$(MUTATION)/bin/mutmut results

$(MUTATION)/.installed: setup.cfg pyproject.toml $(LOCK)
	$(PYTHON) -m venv --clear $(MUTATION)
	$(MUTATION)/bin/pip install --quiet --constraint $(LOCK) -e '.[test,bench]'
	$(MUTATION)/bin/pip install --quiet mutmut==3.8.1
	touch $@

# Write the lock file from setup.cfg: the newest compatible versions for Python 3.11 and newer.
lock: $(VENV)/bin/python
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra test --extra bench --upgrade \
		--no-annotate --custom-compile-command "make lock" setup.cfg --output-file $(LOCK)

# Check the performance assertions, then measure the short scenarios and save the run in benchmarks/results (20 minutes).
bench: $(VENV)/.installed-test
	$(BIN)/pytest tests/benchmarks -m benchmark --override-ini addopts=--import-mode=importlib -s
	$(BIN)/python -m benchmarks

# Check the performance assertions with the real API; fails without a key.
bench-live: $(VENV)/.installed-test
	$(BIN)/pytest tests/benchmarks/test_downloader_benchmarks_live.py --override-ini addopts=--import-mode=importlib -s

# Install the pages' npm packages, by lock file; the running server fetches nothing.
VENDOR := server/web/static/vendor/.installed

assets: $(VENDOR)

$(VENDOR): server/web/assets/package-lock.json server/web/assets/build.mjs server/web/assets/NOTICE.txt
	@command -v npm >/dev/null || { echo "npm is missing; on Debian: apt-get install nodejs npm" >&2; exit 1; }
	cd server/web/assets && npm ci --silent && npm run --silent build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed: $(VENV)/bin/python setup.cfg pyproject.toml $(LOCK)
	$(BIN)/pip install --quiet --constraint $(LOCK) -e .
	touch $@

$(VENV)/.installed-serve: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint $(LOCK) -e '.[serve]'
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint $(LOCK) -e '.[test,bench]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) $(LEAN_CLI) $(MUTATION) mutants build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
