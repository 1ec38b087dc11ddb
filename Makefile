# The commands of the project. PYTHON chooses the interpreter (>= 3.11); everything lives in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

# Tests and benchmarks and the demo use real images where they are; the programs have no such default.
DATASETS_BESIDE := $(abspath $(CURDIR)/../shared/datasets)
ifeq ($(FIRSTREAD_DATASETS),)
ifneq ($(wildcard $(DATASETS_BESIDE)),)
export FIRSTREAD_DATASETS := $(DATASETS_BESIDE)
endif
endif

.PHONY: setup demo test bench fuzz lint hooks clean

# What the service needs: no torch.
$(VENV)/.serving: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: there is no $(PYTHON); install Python 3.11 or later, or name one: make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is older than 3.11; name a later one: make PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "make: no virtual environment could be made; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PIP) --editable .
	@touch $@

# What training, tests and checks need as well.
$(VENV)/.development: $(VENV)/.serving
	$(PIP) --editable '.[train,dev]'
	@touch $@

setup: $(VENV)/.development

demo: $(VENV)/.serving
	@exec $(BIN)/firstread demo

test: $(VENV)/.development
	@.ci/postgresql || echo "make: PostgreSQL could not be installed: its tests are skipped"
	$(BIN)/python -m pytest

bench: $(VENV)/.development
	$(BIN)/python -m tests.benchmarks

# For how long each parser is fuzzed; what breaks one is kept below build/fuzz.
FUZZ_SECONDS ?= 300
fuzz: $(VENV)/.development
	@for target in multipart archive header hl7; do \
		$(BIN)/python -m tests.fuzz $$target --seconds $(FUZZ_SECONDS) --folder build/fuzz/$$target || exit 1; \
	done

lint: $(VENV)/.development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

hooks: $(VENV)/.development
	$(BIN)/pre-commit install

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
