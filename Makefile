# Every verb sets up what it needs by itself: `make demo` and `make test` are the two to begin with.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# pip, so that whatever index or mirror the machine is set to is used; the versions are those of the lock.
install = $(BIN)/python -m pip install -qq --disable-pip-version-check --progress-bar off --log $(VENV)/install.log \
	--constraint requirements.lock --editable '.[$(1)]' || { \
	echo "Installing failed: is a package index within reach? $(VENV)/install.log tells all." >&2; exit 1; }

# Says whether a Python, to be named first, sees TensorRT. It comes with JetPack, never from pip.
HAS_TENSORRT := -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("tensorrt") is None)'

# DEVICE=user@host or DEVICE=local; ARGS are those of tools/deploy/install.sh.
ARGS ?=

# Looked up only where it is used: without Python, the rule of .venv says what to install.
PROCESSES = $(shell $(PYTHON) -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')

.PHONY: setup demo stub engine test engines-test bench mutate golden models check firmware firmware-fuzz \
	firmware-fuzz-guided firmware-rp2040 firmware-check flash aarch64-check clean

setup: $(VENV)/.test  ## the whole developer's environment in .venv

demo: $(VENV)/.demo  ## the microscope that is not there focuses 25 fields of real tissue
	$(BIN)/parfocal demo

stub: $(VENV)/.demo  ## a stub motor board on a pseudo-terminal, until Ctrl-C
	mkdir -p build && $(BIN)/parfocal stub --link build/stub-board

engine: $(VENV)/.engine  ## an engine of every model for this machine, checked and chosen by measurement
	$(BIN)/parfocal engine build

# A process more than cores, since some tests wait in real time, and four at most; one that runs out of tests takes some
# of another's.
# Bytecode is kept even where the environment says otherwise: dozens of tests start Python anew. One thread for NumPy's
# products: the processes would wait for each other's.
test: $(VENV)/.test  ## all tests, in virtual time, on every core
	PYTHONDONTWRITEBYTECODE= OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses=$(PROCESSES) --dist=worksteal

engines-test: $(VENV)/.engines-test  ## 100 MB of TensorRT wheels; the tests that want them skip without

bench: $(VENV)/.test  ## how fast engines and link are, the link's fault campaign, focus beside other microscopes, into build/bench
	$(BIN)/python -m tools.engines.bench
	$(BIN)/python -m tests.bench.link
	$(BIN)/python -m tests.bench.focus

mutate: $(VENV)/.test  ## breaks the code on purpose and sees the tests go red, fifteen minutes
	$(BIN)/python -m tools.mutate

golden: $(VENV)/.test  ## the INT8 scales of every model, anew
	$(BIN)/python -m tools.engines.int8

# TILES is a folder of sharp stained images; MODELS names some; LIGHT=1 shows in minutes that every stage works.
models: $(VENV)/.train  ## the heads of the shipped models anew, TILES=folder; hours, and goes on where it stopped
	$(BIN)/python -m tools.models --tiles "$(TILES)" $(if $(LIGHT),--light) $(MODELS)

check: $(VENV)/.test  ## style, types and the layer rule
	$(BIN)/ruff format --check --quiet --diff .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy --no-error-summary parfocal $(wildcard examples tests tools)
	$(BIN)/lint-imports --no-logo

firmware:  ## the board's firmware for this machine: a library in virtual time and a program on a pseudo-terminal
	$(MAKE) --no-print-directory --directory board/firmware OUT=$(CURDIR)/build/firmware

firmware-rp2040: $(VENV)/.demo  ## the image for a Raspberry Pi Pico; needs gcc-arm-none-eabi
	$(MAKE) --no-print-directory --directory board/firmware/rp2040 OUT=$(CURDIR)/build/firmware
	$(BIN)/python -m tools.firmware.uf2 build/firmware/parfocal-rp2040.bin build/firmware/parfocal-rp2040.uf2

firmware-check: $(VENV)/.test  ## the image for the RP2040 in an emulator; needs gcc-arm-none-eabi, node and npm
	npm install --silent --prefix build/rp2040js rp2040js@1.4.1
	$(BIN)/python -m pytest -s tests/board/firmware/test_rp2040.py tests/board/firmware/test_step_timing.py

PACKETS ?= 1000000

firmware-fuzz:  ## PACKETS random packets at the firmware, three ways, under the sanitizers
	$(MAKE) --no-print-directory --directory board/firmware OUT=$(CURDIR)/build/firmware $(CURDIR)/build/firmware/fuzz
	build/firmware/fuzz $(PACKETS)

MINUTES ?= 10

firmware-fuzz-guided:  ## MINUTES of libFuzzer, which looks for packets that reach more of the firmware; needs clang
	$(MAKE) --no-print-directory --directory board/firmware OUT=$(CURDIR)/build/firmware \
		$(CURDIR)/build/firmware/fuzz-guided
	mkdir -p build/firmware/corpus
	build/firmware/fuzz-guided -max_total_time=$$((60 * $(MINUTES))) -max_len=2000 -len_control=0 build/firmware/corpus

flash: $(VENV)/.demo  ## parfocal onto the computer DEVICE=user@host, beside the version that is there
	tools/deploy/flash.sh $(DEVICE) $(ARGS)

aarch64-check: $(VENV)/.demo  ## tests (TESTS=...) and three fields on an emulated arm64 Debian, as root; ten minutes or more
	tools/aarch64_check.sh $(TESTS)

clean:  ## back to a fresh clone; .local-data stays
	rm -rf $(VENV) build dist *.egg-info .*_cache .hypothesis

$(VENV)/.demo: pyproject.toml requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found. On Debian and Ubuntu:" \
		"sudo apt-get install python3 python3-venv. Or name another one, as in: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and \
		"parfocal needs Python 3.10 or later: name one, as in: make setup PYTHON=python3.12")'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) makes no virtual environments." \
		"On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "Installing into $(VENV) (once, about a minute) ..."
	@if $(PYTHON) $(HAS_TENSORRT); then site=--system-site-packages; fi; $(PYTHON) -m venv $$site $(VENV)
	@$(call install,demo)
	@touch $@

$(VENV)/.test: $(VENV)/.demo
	@$(call install,test)
	@touch $@

$(VENV)/.train: $(VENV)/.test
	@$(call install,train)
	@touch $@

# Where TensorRT is, pycuda is built, with the CUDA toolkit of JetPack if no other is on the PATH.
$(VENV)/.engine: export PATH := $(PATH):/usr/local/cuda/bin
$(VENV)/.engine: $(VENV)/.demo
	@if $(BIN)/python $(HAS_TENSORRT); then ( $(call install,gpu) ) || { \
		echo "TensorRT is here, but pycuda could not be built: it wants nvcc of the CUDA toolkit on the PATH or in" \
		"/usr/local/cuda/bin. For the CPU all the same: $(BIN)/parfocal engine build --backend openvino" >&2; exit 1; }; fi
	@touch $@

# Wheels of different versions share one module name, so each goes into a folder of its own.
$(VENV)/.engines-test: $(VENV)/.test tests/engines/bindings.txt
	@$(call install,engines-test)
	@grep -v '^#' tests/engines/bindings.txt | while read -r wheel; do \
		$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --upgrade \
			--target "$(VENV)/bindings/$${wheel#*==}" "$$wheel" || exit 1; done
	@touch $@
