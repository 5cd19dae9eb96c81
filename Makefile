PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest -n 2 -q
SHARD  ?= 1/1
N      ?= 5000
SEED   ?= 0

# For the targets that need a GPU: $(PYTHON) itself must have graphc's dependencies and
# Triton, torch and jax that fit the machine's driver. Workers share the GPU.
GPU_WORKERS ?= 8
GPU_PYTEST  := GRAPHC_POISON=1 XLA_PYTHON_CLIENT_PREALLOCATE=false \
  $(PYTHON) -m pytest -n $(GPU_WORKERS) -q --triton-target triton
GPU_DOCTOR  := $(PYTHON) -c 'from graphc.cli.doctor import doctor; doctor()'
ROWS   ?= K4,K5,K1,K7,K3,K2,K6,T4,I2,I1,T1,T3
BUDGET ?= 86400

# Exit status 5 says that no test was selected, which is no failure here.
MAY_BE_EMPTY = || { status=$$?; [ $$status -eq 5 ] || exit $$status; echo "no tests selected"; }

.DELETE_ON_ERROR:
.PHONY: help demo test test-long test-torch fuzz mutants lint types venv dev clean
.PHONY: gpu-first gpu-test gpu-test-xla gpu-bench

help:
	@echo "make demo        install graphc and run its demonstration"
	@echo "make test        the tests that need neither GPU nor torch"
	@echo "make test-long   the slow tests; SHARD=2/7 runs the second of seven parts"
	@echo "make test-torch  the tests that need torch"
	@echo "make mutants     how many seeded compiler bugs the checks notice"
	@echo "make fuzz        random programs against the compiler; N=5000 SEED=0"
	@echo "make lint types  style and type checks"
	@echo "make gpu-first   on a GPU: doctor, some tests, some benchmarks, in ten minutes"
	@echo "make gpu-test    on a GPU: all tests that run kernels; SHARD=2/7"
	@echo "make gpu-bench   on a GPU: benchmarks; ROWS=K4,K5 BUDGET=500"
	@echo "make venv dev    the virtual environment, bare or for development"
	@echo "make clean       remove caches and build products"

demo: $(VENV)/.stamp-demo
	$(BIN)/graphc demo

test: $(VENV)/.stamp-dev
	$(PYTEST) tests

test-long: $(VENV)/.stamp-dev
	@$(PYTEST) -m slow --shard $(SHARD) tests $(MAY_BE_EMPTY)

test-torch: $(VENV)/.stamp-dev $(VENV)/.stamp-torch
	@$(PYTEST) -m torch tests $(MAY_BE_EMPTY)

gpu-first:
	$(GPU_DOCTOR)
	$(GPU_PYTEST) -n 0 -x -m "gpu and not slow" tests/runtime/test_gpu.py
	$(GPU_PYTEST) -m "triton and not slow" tests/runtime
	$(PYTHON) -m benchmarks.gpu --rows K4,K5,K1,K7 --baselines eager,max-autotune \
	  --budget 240

gpu-test: gpu-test-xla
	$(GPU_DOCTOR)
	$(GPU_PYTEST) -n 0 -m gpu tests/runtime/test_gpu.py # alone: it measures free memory
	$(GPU_PYTEST) -m "triton and (slow or not slow)" --shard $(SHARD) \
	  tests/codegen/triton tests/runtime tests/passes/test_split_dilation.py

# The tests of ops on XLA, on CUDA instead of the CPU.
gpu-test-xla:
	@if $(PYTHON) -c 'import jax; jax.devices("cuda")' 2>/dev/null; then \
	  JAX_PLATFORMS=cuda,cpu $(GPU_PYTEST) -m "slow or not slow" --shard $(SHARD) \
	    tests/runtime/test_ops_xla.py tests/runtime/test_linear_algebra.py; \
	else echo "jax finds no CUDA device: XLA is not tested on it"; fi

gpu-bench:
	$(PYTHON) -m benchmarks.gpu --rows $(ROWS) --budget $(BUDGET)

mutants: $(VENV)/.stamp-dev
	$(BIN)/python -m tests.mutation --shard $(SHARD)

fuzz: $(VENV)/.stamp-dev
	$(BIN)/python -m graphc.fuzz --count $(N) --seed $(SEED) --output build/fuzz

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.stamp-dev
	$(BIN)/pyright
	$(BIN)/pyright --project pyright-strict.json

venv: $(BIN)/python

dev: $(VENV)/.stamp-dev

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find graphc tests -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.stamp-torch: | $(BIN)/python
	@echo "Installing torch"
	$(PIP) torch==2.13.0 expecttest
	@touch $@

$(VENV)/.stamp-%: pyproject.toml | $(BIN)/python
	@echo "Installing graphc[$*]; the first time takes a minute or two"
	$(PIP) --editable '.[$*]'
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "graphc needs Python 3.11 or newer; there is no '$(PYTHON)'." >&2; \
	  echo "Install one: apt-get install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "graphc needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name a newer one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "Python's venv module is missing. Install it:" >&2; \
	  echo "  apt-get install python$$version-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
