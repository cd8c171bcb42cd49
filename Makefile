# Set-up happens by itself in .venv (plain venv and pip), once per change of the pins.
PYTHON ?= python3
BIN := .venv/bin
PINS := config/constraints.txt
IMAGES ?= data/imagenet/val
RUN := PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONUNBUFFERED=1
SNAKEMAKE := $(RUN) snakemake --profile workflow/profiles/local
TIME_LIMIT := timeout -k 30
BOTH_CORES := --numprocesses auto --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test test-all test-real-size punish bench mutants lint docs format
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

setup: $(BIN)/.ready ## Install everything into .venv

$(BIN)/.ready: pyproject.toml $(PINS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) was found. Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv: some minutes the first time"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(PINS) --editable ".[workflow,bands,demo,export,methods,tensorboard,docs,test]"
	@touch $@

demo: $(BIN)/.ready ## Run the whole chain on this machine: results/demo/report.html
	@$(RUN) python -m simmim.follow --profile workflow/profiles/local --config scale=demo
	@$(MAKE) --no-print-directory results/demo/snakemake-report.html
	@echo "Open results/demo/report.html; the tables are in results/demo/tables, the figures in results/demo/figures."
	@$(RUN) python -m simmim compare --scale demo || true  # the demo is done, whatever is wrong with what it is compared with

# Snakemake's own report: the graph, run times, and every result with its caption and the rule that made it.
# With --report report.zip the pictures lie beside the page instead of in it, which is better for a large scale.
results/demo/snakemake-report.html: results/demo/report.html
	@$(SNAKEMAKE) --config scale=demo --report $@ > logs/demo/snakemake-report.log 2>&1 || { cat logs/demo/snakemake-report.log; exit 1; }

test: $(BIN)/.ready ## Run the everyday tests, a smoke run of the whole graph among them
	@$(RUN) $(TIME_LIMIT) 2400 pytest -m "not slow" $(BOTH_CORES)

test-all: $(BIN)/.ready ## Run every test, the slow ones too: the whole paper at smoke scale among them
	@$(RUN) $(TIME_LIMIT) 7200 pytest -m "not punish" $(BOTH_CORES)

punish: $(BIN)/.ready ## Run the tests that need a real Slurm, which is installed for them: root and apt, half an hour or more
	@SIMMIM_INSTALL_SLURM=yes $(RUN) $(TIME_LIMIT) 14400 pytest tests/slurm

test-real-size: $(BIN)/.ready ## Run every kind of row at its real size, two updates each, into docs/real_size.md: an hour or two, 20 GB
	@$(RUN) python benchmarks/real_size.py

bench: $(BIN)/.ready ## Compare speeds with other ways, into docs/performance.md: a quarter of an hour, IMAGES names a folder of JPEGs
	@$(RUN) OMP_NUM_THREADS=1 python benchmarks/bench.py --images $(IMAGES)

mutants: $(BIN)/.ready ## Change one line at a time and see that a test notices
	@$(RUN) $(TIME_LIMIT) 7200 python tests/mutants/run.py

lint: $(BIN)/.ready ## Check style and structure: ruff, snakefmt, imports, snakemake --lint
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) snakefmt --check workflow
	@$(RUN) lint-imports --no-cache
	@$(RUN) snakemake --lint

docs: $(BIN)/.ready ## Build the documentation into site/, a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet

format: $(BIN)/.ready ## Bring the code into shape
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .
	@$(RUN) snakefmt workflow
