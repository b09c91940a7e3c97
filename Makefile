# make train   install once, then run the embedded default to the end
# make test    install once, then every check and fast test
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: train test test-slow check gpu setup

setup: $(VENV)/.installed

train: setup
	$(BIN)/python train.py

test: setup check
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest

test-slow: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow

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
	$(BIN)/python -m pip install --disable-pip-version-check -c requirements.lock -e '.[dev,sweep,ray,slurm,kaggle]'
	touch $@
