PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run serve test bench bench-live assets clean

# The demo: no key, no network but the package index.
run: $(VENV)/.installed
	$(BIN)/backtest-server demo

# The pages and the API, on http://127.0.0.1:8000.
serve: $(VENV)/.installed-serve assets
	$(BIN)/backtest-server serve

# Everything that guards main: style, types, import rules, the whole default test run.
test: $(VENV)/.installed-test assets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

# What is promised of the speed, asserted; then all short scenarios, kept in benchmarks/results. It takes about 20 minutes.
bench: $(VENV)/.installed-test
	$(BIN)/pytest tests/benchmarks -m benchmark --override-ini addopts=--import-mode=importlib -s
	$(BIN)/backtest-server bench

# The same promises with the real API; fails without a key.
bench-live: $(VENV)/.installed-test
	$(BIN)/pytest tests/benchmarks/test_downloader_benchmarks_live.py --override-ini addopts=--import-mode=importlib -s

# What the pages take from npm, by lock file; nothing is fetched when they are served.
VENDOR := server/web/static/vendor/.installed

assets: $(VENDOR)

$(VENDOR): server/web/assets/package-lock.json server/web/assets/build.mjs server/web/assets/NOTICE.txt
	@command -v npm >/dev/null || { echo "npm is missing; on Debian: apt-get install nodejs npm" >&2; exit 1; }
	cd server/web/assets && npm ci --silent && npm run --silent build

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.installed: $(VENV)/bin/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet -e .
	touch $@

$(VENV)/.installed-serve: $(VENV)/.installed
	$(BIN)/pip install --quiet -e '.[serve]'
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet -e '.[test,bench]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
