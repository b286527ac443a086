# Everything runs in .venv, made on first use. PYTHON picks the interpreter (3.11 or later).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Without an NVIDIA card PyTorch's CPU build is enough; TORCH_INDEX= (empty) takes what pip finds by itself.
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi 2>/dev/null),,https://download.pytorch.org/whl/cpu)
INDEX_OPTION = $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 1

# A strict editable install does not see new files; a folder's time changes with its files.
FOLDERS := pyproject.toml $(shell find package upscaler bot cogs migrations -type d -not -name __pycache__)

.PHONY: help demo test run install lint unit slow gpu browser bench bench-gpu fmt clean

help:
	@echo "make demo     the bot in the browser, without a token (PORT=8765)"
	@echo "make test     all checks and tests"
	@echo "make run      the real bot, with the settings in .env"
	@echo "make bench    the figures that need minutes (DATA= a folder of pictures)"
	@echo "more: fmt, slow, gpu, browser, bench-gpu, clean; see CONTRIBUTING.md"

PORT ?= 8765
demo: $(VENV)/demo.done
	@$(BIN)/tilestep demo --port $(PORT)

run: $(VENV)/bot.done
	@$(BIN)/tilestep run

test: lint unit

install: $(VENV)/dev.done

$(VENV)/%.done: $(FOLDERS) | $(BIN)/python
	@echo "Installing into $(VENV); the first time this takes some minutes."
	$(PIP) $(INDEX_OPTION) torch==2.13.0
	$(PIP) -e '.[$*]' --config-settings editable_mode=strict
	@touch $@

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

# The demo's page in Chromium; PICTURES=docs takes the README's pictures on the way.
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
browser: $(VENV)/browser.done
	@test -n "$(CHROMIUM)" || { echo "Chromium is missing: apt-get install chromium, or CHROMIUM=/path/to/it."; exit 1; }
	TILESTEP_BROWSER="$(CHROMIUM)" TILESTEP_PICTURES="$(PICTURES)" $(BIN)/pytest tests/browser

# DATA is a folder of pictures to measure with.
DATA ?= ../shared/data/val
bench: install
	$(BIN)/python benchmarks/corruption.py $(DATA)
	$(BIN)/python benchmarks/seams.py
	$(BIN)/python benchmarks/adaptive.py $(DATA)
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/simulate.py
	$(BIN)/python benchmarks/heartbeat.py
	$(BIN)/python benchmarks/interleave.py

# With an NVIDIA card: pictures of Stable Diffusion 1.5's size beside tiles.
bench-gpu: install
	$(BIN)/python benchmarks/interleave.py --size sd15

fmt: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info
