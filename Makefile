# make demo: from nothing to a report.  make test: all tests.  See README.md.
.DELETE_ON_ERROR:
.PHONY: install demo bench bench-gpu speed-page test soak test-models test-clients test-cluster paper-env lint format clean

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
	@echo "installing into $(VENV) with $(PYTHON): a few minutes, about 2.6 GB"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) 'torch==2.13.0'
	@$(PIP) --editable .
	@$(PIP) --no-deps --force-reinstall "opencv-contrib-python-headless==$$($(BIN)/python -c 'from importlib.metadata import version; print(version("opencv-contrib-python"))')"
	@echo "compiling the kernels of the fit: about a minute"
	@$(BIN)/python -m pipeline kernels
	@touch $@

# smplx is non-commercial and wants chumpy: the tests alone compare with it, so it comes without its dependencies.
$(VENV)/tools: $(VENV)/installed
	@$(PIP) --editable '.[dev]'
	@$(PIP) --no-deps smplx==0.1.28
	@touch $@

videos/demo.mp4: | $(VENV)/installed
	$(BIN)/python -m pipeline studio --out videos --name demo --seed 5 --views 0

demo: install videos/demo.mp4
	$(BIN)/snakemake --cores all
	@$(BIN)/python -m pipeline aggregate results/metrics.csv --print

# How fast it is here (docs/speed.md); with the stages of the demo where that has been run.
bench: install
	$(BIN)/python -m benchmarks $(if $(wildcard results/demo/provenance/fit.json),--results results/demo)

bench-gpu: install
	$(BIN)/python -m benchmarks.gpu

# The tables of docs/speed.md, from benchmarks/results/.
speed-page: install
	$(BIN)/python -m benchmarks.page

test: $(VENV)/tools
	$(BIN)/python -m pytest --numprocesses 2 --durations 15

# Whole runs of Snakemake, killed at random moments: docs/faults.md. make soak MINUTES=5 SEED=7
MINUTES := 30
SEED := 0
soak: $(VENV)/tools
	$(BIN)/python -m tests.soak --minutes $(MINUTES) --seed $(SEED)

# The paper preset's estimators with their real code and random weights, on the CPU. Where GitHub cannot be reached:
# make test-models UNIDEPTH=/path/to/UniDepth HMR2=/path/to/4D-Humans
MODELS := $(VENV)/models
test-models: $(MODELS)/installed
	PYTHONPATH=$(abspath $(MODELS)) $(BIN)/python -m pytest tests/models tests/estimators/test_rtmw.py tests/estimators/test_instanthmr.py --durations 10

$(MODELS)/installed: $(VENV)/tools tests/models/requirements.txt envs/estimators.post-deploy.sh
	@echo "installing the code of SAM 2, UniDepthV2, HMR2.0, RTMW and onnxruntime into $(MODELS): a minute, about 80 MB; no weights"
	@$(PIP) --no-deps --upgrade --target $(MODELS) --requirement tests/models/requirements.txt
	@PIP_TARGET=$(MODELS) PIP_UPGRADE=1 PIP_QUIET=1 UNIDEPTH=$(UNIDEPTH) HMR2=$(HMR2) PATH=$(abspath $(BIN)):$$PATH \
	  sh envs/estimators.post-deploy.sh
	@touch $@

# The exports in the programs that they are for: Blender (bpy), the Khronos validator, three, three-vrm, Spark,
# PlayCanvas, splat-transform, pybvh. Wants node and npm, and Chromium for pictures; about 1.4 GB, most of it bpy.
CLIENTS := $(VENV)/clients
test-clients: $(CLIENTS)/installed
	CLIENTS=$(abspath $(CLIENTS)) $(BIN)/python -m pytest tests/exports/clients --durations 10

$(CLIENTS)/installed: $(VENV)/tools tests/exports/clients/requirements.txt tests/exports/clients/package.json
	@$(BIN)/python -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --requirement tests/exports/clients/requirements.txt
	@cp tests/exports/clients/package.json $(CLIENTS) && npm install --silent --ignore-scripts --prefix $(CLIENTS)
	@touch $@

# The workflow on a Slurm of this machine's own: Debian, as root. Some ten minutes; docs/cluster.md tells what it found.
test-cluster: $(VENV)/tools
	tests/cluster/slurm.sh install
	@$(PIP) --editable '.[dev,slurm]'
	$(BIN)/python -m pytest tests/cluster --durations 10

# All that config/paper.yaml runs, into the environment of make install; the pins are those of envs/.
paper-env: install
	@echo "installing SAM 2, UniDepthV2, HMR2.0 and gsplat into $(VENV): about 1 GB"
	@echo "UniDepth and smplx are for non-commercial use; weights and SMPL come apart: snakemake --cores 1 weights"
	@sed -n '/# of the estimators/,$$s/^ *- \(.*==.*\)/\1/p' envs/estimators.yaml > $(VENV)/estimators.txt
	@$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --requirement $(VENV)/estimators.txt gsplat==1.5.3
	@PIP_QUIET=1 UNIDEPTH=$(UNIDEPTH) HMR2=$(HMR2) PATH=$(abspath $(BIN)):$$PATH sh envs/estimators.post-deploy.sh
	@$(BIN)/python -m pipeline doctor

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
