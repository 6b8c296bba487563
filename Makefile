# make demo: from nothing to a report.  make test: all tests.  See README.md.
.DELETE_ON_ERROR:
.PHONY: install demo test lint format clean

VENV := .venv
BIN := $(VENV)/bin
# The first Python 3.11 or 3.12 that runs; or say make PYTHON=/path/to/python.
PYTHON ?= $(shell for p in python3 python3.12 python3.11; do \
  $$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
# Where torch is fetched from, when not from the package index: on Linux without a GPU
# make install TORCH_INDEX=https://download.pytorch.org/whl/cpu saves some gigabytes.
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

install: $(VENV)/installed

# The last line puts the headless OpenCV over the one that mediapipe brings, whose import needs libGL.so.1.
$(VENV)/installed: pyproject.toml Makefile
	@test -n "$(PYTHON)" || { echo "no Python 3.11 or 3.12 found; install one, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "installing into $(VENV) with $(PYTHON): a few minutes, about 2.5 GB"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) 'torch==2.13.0'
	@$(PIP) --editable .
	@$(PIP) --no-deps --force-reinstall "opencv-contrib-python-headless==$$($(BIN)/python -c 'from importlib.metadata import version; print(version("opencv-contrib-python"))')"
	@touch $@

# smplx is non-commercial and wants chumpy: the tests alone compare with it, so it comes without its dependencies.
$(VENV)/tools: $(VENV)/installed
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps smplx==0.1.28
	@touch $@

videos/demo.mp4: | $(VENV)/installed
	$(BIN)/python -m pipeline studio --out videos --name demo --seed 5 --views 0

demo: install videos/demo.mp4
	$(BIN)/snakemake --cores all --quiet rules
	@$(BIN)/python -m pipeline aggregate results/metrics.csv --print

test: $(VENV)/tools
	$(BIN)/python -m pytest --numprocesses 2 --durations 15

lint: $(VENV)/tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile rules
	PYTHONPATH=. $(BIN)/lint-imports
	videos=$$(mktemp -d) && touch "$$videos/x.mp4" && $(BIN)/snakemake --lint --config "videos=$$videos"; \
	  status=$$?; rm -r "$$videos"; exit $$status

format: $(VENV)/tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile rules

clean:
	rm -rf results .snakemake videos/demo.mp4 videos/demo.truth
