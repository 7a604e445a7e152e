# One word each. On a fresh machine with Python 3.11 or newer, `make run` is the only command needed.
PYTHON ?= python3
BIN := .venv/bin
RUNBOOKS := runbooks foundations data_engineering model_engineering mlops
# Each is checked by itself, as it is imported: jobs have modules of the same names.
TYPED := $(sort $(dir $(wildcard $(RUNBOOKS:=/*.py) $(RUNBOOKS:=/jobs/*/*.py))))

.PHONY: run test lab lint format outputs golden stress bench lock clean

run: .venv/ready ## rehearse the event on the local AWS, and say where the report is
	@$(BIN)/kit run

test: .venv/ready lint ## everything: lint, types, unit tests, runbooks as regression tests
	$(BIN)/pytest -n auto --dist loadfile
	$(BIN)/python tests/nbval_runbooks.py

lab: .venv/ready ## open the runbooks in JupyterLab
	$(BIN)/jupyter lab

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for folder in $(TYPED); do $(BIN)/mypy $$folder*.py || exit 1; done

format: .venv/ready ## what lint asks for, where it can be done by machine
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

outputs: .venv/ready ## execute every runbook afresh and store the outputs of its check cells
	$(BIN)/python tests/nbval_runbooks.py --store

golden: .venv/ready ## execute every runbook afresh and keep what each asks of AWS: tests/golden
	$(BIN)/python tests/nbval_runbooks.py --golden

stress: .venv/ready ## many writers, random SIGKILL, new examples for all properties: minutes
	$(BIN)/pytest -m stress
	$(BIN)/pytest -m "hypothesis and not stress" -n auto --dist loadfile --hypothesis-profile search

bench: .venv/ready ## ratios beside the honest alternative
	for script in tests/benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

lock: .venv/ready ## resolve anew for Python 3.11 and 3.12 on Linux and macOS
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra test --universal --python-version 3.11 \
	    --strip-extras --no-annotate --custom-compile-command "make lock" --output-file requirements.lock

clean: ## stop the local AWS and remove what rehearsals made
	-$(BIN)/kit local down
	rm -rf event

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Try: make run PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned packages into .venv; this takes a few minutes, once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@
