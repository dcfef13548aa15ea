# Two commands: `make demo` opens the app on a trained model, `make test` runs everything that CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
CPU_INDEX := https://download.pytorch.org/whl/cpu
TORCH_INDEX := $(if $(filter cpu,$(TORCH)),--extra-index-url $(CPU_INDEX))

.PHONY: demo test types suite
.DEFAULT_GOAL := demo

demo: $(INSTALLED)
	$(BIN)/protoexplain demo

test: $(INSTALLED)
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory --jobs 2 types suite

types: $(INSTALLED)
	$(BIN)/mypy
	$(BIN)/lint-imports

suite: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@echo "Installing into $(VENV), with torch for $(if $(filter cpu,$(TORCH)),CPUs alone,CPUs and NVIDIA GPUs: 6.6 GB)"
	$(BIN)/pip install $(TORCH_INDEX) --no-compile --constraint constraints.txt --editable '.[dev]'
# Compiled on all cores, which pip does on one; what cannot be compiled is never imported.
	@$(BIN)/python -m compileall -q -q -j 0 -x /tests/ $(VENV)/lib || true
	touch $@
