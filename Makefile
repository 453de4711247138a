# valuestab: see `make help`.

# ---- edit me, or give them on the command line: make reproduce PROFILE=smoke -------------------------------------
PROFILE ?= quick
MODEL ?=
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
            2> /dev/null && echo $$p && break; done)
endif
VENV ?= .venv
PIP_ARGS ?=
CONFIRM ?=
PAPER ?= kovac2024
# On a cluster: make reproduce EXECUTOR=slurm PARTITION=gpu ACCOUNT=me GPUS=1 TIME=60 SHARDS=16
EXECUTOR = local
PARTITION =
ACCOUNT =
GPUS = 0
TIME = 60
SHARDS = 16
CPUS = 4
MEM =
SBATCH =
# ------------------------------------------------------------------------------------------------------------------

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help env model plan reproduce structure prompting report test bench size lab clean clean-results
SHELL := /bin/sh

MADE := $(VENV)-made-$(shell cat requirements.lock pyproject.toml | cksum | cut -d ' ' -f 1)
PIP = '$(MADE)/bin/python' -m pip --disable-pip-version-check
STAMP := $(VENV)/.stamp
MODEL_CARD := data/models/SmolLM2-135M-Instruct/model.json
RUN := $(VENV)/bin/python -m valuestab_utils

# Every other variable given on the command line is a parameter of the notebooks (make reproduce n_personas=8), but for
# those that begin with VALUESTAB_: they are the package's own, and reach it through the environment.
CLUSTER := EXECUTOR PARTITION ACCOUNT GPUS TIME SHARDS CPUS MEM SBATCH
OWN := PROFILE MODEL PAPER PYTHON VENV PIP_ARGS CONFIRM SHELL SHAPE PERSONAS FAST $(CLUSTER)
GIVEN := $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $v)),$v))
define NEWLINE


endef
# A variable's value as it was typed, as one word for the shell whatever is in it (a line break becomes a space).
quoted = '$(subst ','\'',$(subst $(NEWLINE), ,$(value $1)))'
PARAMETERS = $(foreach v,$(sort $(filter-out $(OWN) VALUESTAB_%,$(GIVEN))),$v=$(call quoted,$v))

RUN_local = reproduce
RUN_slurm = cluster --partition=$(call quoted,PARTITION) --account=$(call quoted,ACCOUNT) \
    --gpus=$(call quoted,GPUS) --minutes=$(call quoted,TIME) --shards=$(call quoted,SHARDS) \
    --cpus=$(call quoted,CPUS) --mem=$(call quoted,MEM) $(if $(SBATCH),--sbatch=$(call quoted,SBATCH))
STUDY = --profile=$(call quoted,PROFILE) --model=$(call quoted,MODEL) $(PARAMETERS)
REPRODUCE = $(RUN) $(or $(RUN_$(EXECUTOR)),$(error EXECUTOR must be local or slurm)) $(STUDY)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo '  Variables: PROFILE (smoke, quick, paper), MODEL (name, folder or hub id), PYTHON, VENV, PIP_ARGS;'
	@echo '  on a cluster EXECUTOR=slurm PARTITION, ACCOUNT, GPUS, TIME, SHARDS, CPUS, MEM, SBATCH; of bench SHAPE, PERSONAS;'
	@echo "  any other is a parameter of the notebooks: make reproduce n_personas=8 seeds='[1, 2]'"

plan: $(STAMP)  ## say what a run would take: sessions, queries, tokens, memory, time or price
	@$(RUN) plan --paper=$(call quoted,PAPER) $(STUDY)

reproduce: $(STAMP)  ## run the notebooks of Kovač et al. 2024: every experiment and figure, and a report
	@$(REPRODUCE) --paper=$(call quoted,PAPER)

structure: $(STAMP)  ## the same for Rozen et al. 2025: hierarchy and structure of 19 values (notebook 06)
	@$(REPRODUCE) --paper=rozen2025

prompting: $(STAMP)  ## the same for Yehudai et al.: value prompts, behaviour, populations (notebook 07)
	@$(REPRODUCE) --paper=yehudai2025

report: $(STAMP)  ## write again the report of the run with this PROFILE, MODEL and parameters
	@$(RUN) report $(STUDY)

env: $(STAMP)  ## build the environment (.venv) from requirements.lock

model: $(MODEL_CARD)  ## fetch the embedded model, SmolLM2-135M-Instruct

# A process a core, and no more than 8: each loads PyTorch and perhaps the model, 1.5 GB. A file's tests run in one
# process, since they may share what takes long to make (or a Slurm).
test: $(STAMP) $(if $(FAST),,$(MODEL_CARD))  ## run the test suite; FAST=1 leaves out what takes the model or seconds
	$(VENV)/bin/python -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile --no-loadscope-reorder $(if $(FAST),-m 'not slow')

bench: $(STAMP) $(MODEL_CARD)  ## measure the engine's speed against one full prompt at a time
	@$(RUN) bench $(if $(MODEL),--model=$(call quoted,MODEL)) $(if $(dtype),--dtype=$(call quoted,dtype)) \
	    $(if $(SHAPE),--shape=$(call quoted,SHAPE)) $(if $(PERSONAS),--personas=$(call quoted,PERSONAS))

size: $(STAMP)  ## print files, lines of code, of docstrings and of tests, by room
	@$(RUN) size

lab: $(STAMP)  ## open the notebooks in JupyterLab
	JUPYTER_PREFER_ENV_PATH=1 $(VENV)/bin/python -m jupyterlab notebooks

clean:  ## remove executed notebooks, figures and caches; keeps results/, the model and .venv
	rm -rf output .pytest_cache valuestab_utils.egg-info build
	[ ! -d figures ] || find figures -mindepth 1 ! -name README.md ! -name .gitkeep ! -name 'readme_*.png' -delete
	find . \( -path './$(VENV)*' -o -path ./.git -o -path ./results \) -prune -o \
	    \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -print0 | xargs -0 rm -rf

clean-results:  ## remove results/ too: conversations and answers that took hours (asks for CONFIRM=yes)
	@test "$(CONFIRM)" = yes || { echo 'This removes all conversations and answers in results/; to go on: make clean-results CONFIRM=yes' >&2; exit 1; }
	rm -rf results

# The environment is a folder named by what it was made from, and $(VENV) a link to it that is set when it is complete: a
# build that fails, or is interrupted, leaves the link, and the environment that it leads to, as they were.
$(STAMP): $(MADE)/.stamp
	@old="$$(readlink '$(VENV)')"; ln -sfn '$(notdir $(MADE))' '$(VENV)' && \
	    { [ -z "$$old" ] || [ "$$old" = '$(notdir $(MADE))' ] || rm -rf "$$(dirname '$(VENV)')/$$old"; }

$(MADE)/.stamp:
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { echo \
	    'Python 3.11 or later is needed, and "$(or $(PYTHON),python3)" is not: install it, or say where it is: make env PYTHON=/path/to/python3.11' >&2; exit 1; }
	@case "$$(readlink '$(VENV)')" in '$(notdir $(VENV))'-made-*) ;; *) [ ! -e '$(VENV)' ] || { echo \
	    '$(VENV) is there, but this Makefile did not make it: remove it, or choose another place: make env VENV=.venv2' >&2; exit 1; };; esac
	@mkdir '$(MADE)' || { echo 'Another process builds $(MADE), or was killed while it did: wait, or remove it.' >&2; exit 1; }
	@trap 'rm -rf "$(MADE)"; echo "The environment could not be built; what was there is as it was." >&2' EXIT; trap 'exit 130' INT TERM; \
	    $(PYTHON) -m venv '$(MADE)' && $(PIP) install $(PIP_ARGS) --requirement requirements.lock && \
	    $(PIP) install --quiet --no-build-isolation --no-deps --editable . && touch '$@' && trap - EXIT

$(MODEL_CARD): | $(STAMP)
	$(RUN) embedded
