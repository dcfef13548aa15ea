# Two commands: `make demo` opens the app on a trained model, `make test` runs everything that CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CPU_INDEX := https://download.pytorch.org/whl/cpu
TORCH_INDEX := $(if $(filter cpu,$(TORCH)),--extra-index-url $(CPU_INDEX))

.PHONY: demo test
.DEFAULT_GOAL := demo

demo: $(INSTALLED)
	$(BIN)/protoexplain demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV), with torch for $(if $(filter cpu,$(TORCH)),CPUs alone,CPUs and NVIDIA GPUs: 6.6 GB)"
	$(BIN)/pip install $(TORCH_INDEX) --constraint constraints.txt --editable '.[dev]'
	touch $@
