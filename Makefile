# make train   install once, then run the embedded default to the end
# make test    install once, then every check and fast test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: train test test-slow slow-ranks slow-runs slow-others check gpu setup

setup: $(VENV)/.installed

train: setup
	$(BIN)/python train.py

test: setup check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

# Two at a time: each waits half of its time, for processes that start, die or hang on purpose.
test-slow: setup
	$(MAKE) -k -j2 --output-sync=target slow-ranks slow-runs slow-others

slow-runs: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --durations=10 tests/run

slow-ranks: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --durations=10 tests/ranks

slow-others: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow --durations=10 tests --ignore=tests/run --ignore=tests/ranks

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# GPU_PYTHON: another interpreter that has the packages, where .venv cannot be made
gpu: $(if $(GPU_PYTHON),,setup)
	$(or $(GPU_PYTHON),$(BIN)/python) experiments/speed/gpu.py

$(VENV)/.installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "segfield needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version). Type: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -c requirements.lock -e '.[dev,sweep,ray,slurm,ocean,kaggle]'
	touch $@
