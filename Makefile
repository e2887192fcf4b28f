# Needs make and Python 3.11 or later with its venv module; everything else is brought into .venv.
.DEFAULT_GOAL := help
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(name))))
BIN := .venv/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: help setup demo picture docs broker test check pencil check-long faults mutate bench wheel lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

setup: .venv/ready-to-develop  ## an environment in .venv, each package checked against its hash

demo: .venv/ready-to-run  ## a company's seats and credits, live through a real Kafka, until Ctrl-C
	@$(BIN)/python -m streams demo

picture: .venv/ready-to-develop  ## the README's pictures anew: a minute of the demo, and a seat in the view
	@$(BIN)/python -m streams demo --seconds 62 --picture docs/demo.svg >/dev/null
	@SEATSTREAM_TEST_PICTURE=1 $(BIN)/python -m pytest -q tests/web/test_picture.py

docs: .venv/ready-to-develop  ## docs/events anew: the schemas of all topics, from the code that reads and writes them
	@$(BIN)/python -m wire.schemas

broker: .venv/ready-to-run  ## only the embedded Kafka, on port 9092
	@$(BIN)/python -m streams broker

# Those that need the broker run beside all others, which are in order: quick tests first, then the compiled ledger.
test: lint  ## everything that must hold before a change lands: lint, types, imports, all tests
	@$(BIN)/python -m tests.lanes

check: lint  ## the same without a broker and a compiler, for while you write
	@$(BIN)/python -m pytest -q -m "not broker and not compiled"

pencil: .venv/ready-to-develop  ## the ledger's worked examples, in a few seconds, for after every change
	@$(BIN)/python -m pytest -q -m pencil tests/ledger

check-long: .venv/ready-to-develop  ## random histories against the naive model, for as long as you let it; resumes
	@$(BIN)/python -m tests.long

faults: .venv/ready-to-develop  ## workers, disks and brokers fail under load, N times (24 unless said); what was survived adds up
	@$(BIN)/python -m tests.faults --until $(or $(N),24)

mutate: .venv/ready-to-develop  ## breaks the ledger's rules one place at a time; every break should turn a test red; resumes
	@$(BIN)/python -m tests.mutation

bench: .venv/ready-to-develop  ## what we measure, as tables
	@$(BIN)/python -m bench.ledger
	@$(BIN)/python -m bench.alerts
	@$(BIN)/python -m bench.ageing
	@$(BIN)/python -m bench.period
	@$(BIN)/python -m bench.stream
	@$(BIN)/python -m bench.http

wheel: .venv/ready-to-develop  ## dist/: the sdist, and the wheel made from it with the ledger compiled (needs a C compiler)
	@SEATSTREAM_BUILD=compiled $(BIN)/python -m uv build --quiet --no-build-isolation --offline --python $(BIN)/python

lock: .venv/ready-to-develop  ## new locks from pyproject.toml: newest versions with hashes, without addresses
	@$(BIN)/python -m uv $(COMPILE) --extra build --upgrade -o requirements.lock >/dev/null
	@$(BIN)/python -m uv $(COMPILE) --all-extras -c requirements.lock --upgrade -o requirements-dev.lock >/dev/null

clean:  ## away with .venv and what the tools left
	rm -rf .venv build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: lint
lint: .venv/ready-to-develop
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/mypy --no-error-summary .
	@$(BIN)/lint-imports --no-logo >.venv/imports.log || { cat .venv/imports.log; exit 1; }

COMPILE = pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate --quiet

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "SeatStream needs Python 3.11 or later with its venv module" >&2; exit 1; }
	@$(PYTHON) -m venv .venv

.venv/ready-to-run: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Bringing what SeatStream needs into .venv; this is done once"
	@$(PIP) --require-hashes -r requirements.lock
	@$(PIP) --no-deps --no-build-isolation --no-index -e .
	@touch $@

.venv/ready-to-develop: requirements-dev.lock | .venv/ready-to-run
	@echo "Bringing the tools for its developers"
	@$(PIP) --require-hashes -r requirements-dev.lock
	@touch $@
