# heimdall-edge. `make demo` and `make test` do all their own set-up; both are fast the second time.
SHELL := /bin/bash
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
DATA ?= $(or $(HEIMDALL_EDGE_DATA),$(abspath ../shared/data))
# What the tests run for real: the broker, its clients, TLS, promtool and systemd's own checks;
# rtl_tcp, SoapySDR with its remote server, chronyd; and what their emulated devices compile with.
APT_PACKAGES := mosquitto openssl prometheus systemd python3-venv \
	rtl-sdr soapysdr-tools soapysdr-module-rtlsdr soapysdr-module-remote soapyremote-server \
	chrony gcc g++ libc6-dev pkg-config libusb-1.0-0-dev libsoapysdr-dev
TRIALS ?= 3
EXECUTIONS ?= 1000000

export ORT_DISABLE_TELEMETRY := 1
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1

.PHONY: help demo test lint types layers faults fuzz eval bench docs model system-packages clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/.demo: pyproject.toml
	packaging/make-venv $(PYTHON) $(VENV) demo
	@touch $@

$(VENV)/.dev: pyproject.toml
	packaging/make-venv $(PYTHON) $(VENV) dev
	@touch $@ $(VENV)/.demo

system-packages:
	@packaging/system-packages $(APT_PACKAGES)

demo: $(VENV)/.demo  ## Simulated receivers, an embedded broker, fixes against the truth; Ctrl-C ends it
	@$(BIN)/heimdall-edge demo

test: system-packages $(VENV)/.dev  ## All tests
	$(BIN)/pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev  ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev  ## mypy, strict
	$(BIN)/mypy

layers: $(VENV)/.dev  ## import-linter: imports go down only
	$(BIN)/lint-imports

faults: system-packages $(VENV)/.dev  ## The fault matrix: recovery time, lost samples (TRIALS=3)
	$(BIN)/python -m tests.faults --trials $(TRIALS)

fuzz: system-packages $(VENV)/.dev  ## Every wire parser, coverage-guided (EXECUTIONS=1000000 each)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[fuzz]"
	$(BIN)/python -m tests.fuzz --executions $(EXECUTIONS)

eval: $(VENV)/.dev  ## Accuracy on real recordings and in simulation, against the bound
	HEIMDALL_EDGE_DATA=$(DATA) $(BIN)/python training/evaluation/run.py

bench: $(VENV)/.dev  ## Speed: every table that the README quotes
	$(BIN)/heimdall-edge bench

model: $(VENV)/.dev  ## Write the reference model again, to the same bytes
	$(BIN)/python training/reference_model.py

docs: $(VENV)/.dev  ## Write the files that are generated from the code
	$(BIN)/python -m heimdall_edge.config_document > config/heimdall-edge.toml
	$(BIN)/python -m heimdall_edge.metrics > docs/metrics.md
	$(BIN)/python -m heimdall_edge.publish.schemas docs/schemas

clean:  ## Remove what was built
	rm -rf $(VENV) build dist *.egg-info .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache
