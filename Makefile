# Everything sets itself up: `make demo` and `make test` work on a fresh clone with Python 3.11 or newer.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo check format lint types contracts test snapshots pictures bench sessions clean

demo: $(VENV)/.installed  ## open the terminal on the demo plan, or run it where nobody is attached
	@if [ -t 0 ] && [ -t 1 ]; then $(BIN)/qood-tui; else $(BIN)/qood-tui run --demo --plain; fi

check: format lint types contracts test  ## everything that must hold before a commit

format: $(VENV)/.developed
	$(BIN)/ruff format --check .

lint: $(VENV)/.developed
	$(BIN)/ruff check .

types: $(VENV)/.developed
	$(BIN)/mypy

contracts: $(VENV)/.developed
	$(BIN)/lint-imports

test: $(VENV)/.developed  ## three at once keep two cores busy, as many wait; `pytest` alone takes one
	$(BIN)/pytest --numprocesses 3 --dist worksteal

snapshots: $(VENV)/.developed  ## keep how every screen looks now as right; read the diff before it is committed
	QOOD_UPDATE_SNAPSHOTS=1 $(BIN)/pytest tests/qood_tui/test_snapshots.py

pictures: $(VENV)/.developed  ## draw the pictures of the README again
	$(BIN)/python -m tests.pictures

bench: $(VENV)/.developed  ## measure what must be fast; takes about twenty minutes
	$(BIN)/python -m tests.benchmarks

sessions: $(VENV)/.installed  ## record the demo session that ships with the project again
	$(BIN)/python -m tests.benchmarks.record

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; name it with: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
