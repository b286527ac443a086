# Everything runs in .venv, made on first use. PYTHON picks the interpreter (3.11 or later).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Without an NVIDIA card PyTorch's CPU build is enough; TORCH_INDEX= (empty) takes what pip finds by itself.
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi 2>/dev/null),,https://download.pytorch.org/whl/cpu)
INDEX_OPTION = $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.PHONY: test demo run install lint unit slow gpu bench fmt clean

test: lint unit

# The bot in the browser: no token, no GPU. PORT= picks the page's port.
PORT ?= 8765
demo: EXTRA = demo
demo: install
	$(BIN)/tilestep demo --port $(PORT)

# The real bot: settings in .env (copy .env.example).
run: EXTRA = bot
run: install
	$(BIN)/tilestep run

EXTRA = dev
install: $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1 $(INDEX_OPTION) torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[$(EXTRA)]' --config-settings editable_mode=strict

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit("Tilestep needs Python 3.11 or later." if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy -p tilestep
	$(BIN)/lint-imports

# Two processes, one thread of PyTorch each.
unit: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

slow: install
	$(BIN)/pytest -m slow --timeout 3600

gpu: install
	$(BIN)/pytest -m gpu --timeout 3600

# DATA is a folder of pictures to measure with.
DATA ?= ../shared/data/val
bench: install
	$(BIN)/python benchmarks/corruption.py $(DATA)
	$(BIN)/python benchmarks/seams.py
	$(BIN)/python benchmarks/adaptive.py $(DATA)
	$(BIN)/python benchmarks/memory.py

fmt: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info
