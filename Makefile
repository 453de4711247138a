# valuestab: see `make help`.

# ---- edit me, or give them on the command line: make reproduce PROFILE=smoke -------------------------------------
PROFILE ?= quick
MODEL ?=
PYTHON ?= $(shell for p in python3.11 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
            2> /dev/null && echo $$p && break; done)
VENV ?= .venv
PIP_ARGS ?=
CONFIRM ?=
PAPER ?= stability
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
.PHONY: help env model plan reproduce structure prompting report test bench lab clean clean-results
SHELL := /bin/sh

STAMP := $(VENV)/.stamp
MODEL_CARD := data/models/SmolLM2-135M-Instruct/model.json
RUN := $(VENV)/bin/python -m

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

RUN_local = valuestab_utils.reproduce
RUN_slurm = valuestab_utils.slurm --partition=$(call quoted,PARTITION) --account=$(call quoted,ACCOUNT) \
    --gpus=$(call quoted,GPUS) --minutes=$(call quoted,TIME) --shards=$(call quoted,SHARDS) \
    --cpus=$(call quoted,CPUS) --mem=$(call quoted,MEM) $(if $(SBATCH),--sbatch=$(call quoted,SBATCH))
REPRODUCE = $(RUN) $(or $(RUN_$(EXECUTOR)),$(error EXECUTOR must be local or slurm)) --profile=$(call quoted,PROFILE) \
    --model=$(call quoted,MODEL) $(PARAMETERS)

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo '  Variables: PROFILE (smoke, quick, paper), MODEL (name, folder or hub id), PYTHON, VENV, PIP_ARGS;'
	@echo '  on a cluster EXECUTOR=slurm PARTITION, ACCOUNT, GPUS, TIME, SHARDS, CPUS, MEM, SBATCH; of bench SHAPE, PERSONAS;'
	@echo "  any other is a parameter of the notebooks: make reproduce n_personas=8 seeds='[1, 2]'"

plan: $(STAMP)  ## say what a run would take: sessions, queries, tokens, memory, time or price
	@$(RUN) valuestab_utils.plan --paper=$(call quoted,PAPER) --profile=$(call quoted,PROFILE) --model=$(call quoted,MODEL) $(PARAMETERS)

reproduce: $(STAMP)  ## run the notebooks of Kovač et al. 2024: every experiment and figure, and a report
	@$(REPRODUCE) --paper=$(call quoted,PAPER)

structure: $(STAMP)  ## the same for Rozen et al. 2025: hierarchy and structure of 19 values (notebook 06)
	@$(REPRODUCE) --paper=structure

prompting: $(STAMP)  ## the same for Yehudai et al.: value prompts, behaviour, populations (notebook 07)
	@$(REPRODUCE) --paper=prompting

report: $(STAMP)  ## write again the report of the run with this PROFILE, MODEL and parameters
	@$(RUN) valuestab_utils.report --profile=$(call quoted,PROFILE) --model=$(call quoted,MODEL) $(PARAMETERS)

env: $(STAMP)  ## build the environment (.venv) from requirements.lock

model: $(MODEL_CARD)  ## fetch the embedded model, SmolLM2-135M-Instruct

# A process a core, and no more than 8: each loads PyTorch and perhaps the model, 1.5 GB. A file's tests run in one
# process, since they may share what takes long to make (or a Slurm).
test: $(STAMP) $(if $(FAST),,$(MODEL_CARD))  ## run the test suite; FAST=1 leaves out what takes the model or seconds
	$(RUN) pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile --no-loadscope-reorder $(if $(FAST),-m 'not slow')

bench: $(STAMP) $(MODEL_CARD)  ## measure the engine's speed against one full prompt at a time
	@$(RUN) valuestab_utils.bench $(if $(MODEL),--model=$(call quoted,MODEL)) $(if $(dtype),--dtype=$(call quoted,dtype)) \
	    $(if $(SHAPE),--shape=$(call quoted,SHAPE)) $(if $(PERSONAS),--personas=$(call quoted,PERSONAS))

lab: $(STAMP)  ## open the notebooks in JupyterLab
	JUPYTER_PREFER_ENV_PATH=1 $(VENV)/bin/jupyter lab notebooks

clean:  ## remove executed notebooks, figures and caches; keeps results/, the model and .venv
	rm -rf output .pytest_cache valuestab_utils.egg-info build
	[ ! -d figures ] || find figures -mindepth 1 ! -name README.md ! -name .gitkeep ! -name 'readme_*.png' -delete
	find . \( -path ./$(VENV) -o -path ./.git -o -path ./results \) -prune -o \
	    \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -print0 | xargs -0 rm -rf

clean-results:  ## remove results/ too: conversations and answers that took hours (asks for CONFIRM=yes)
	@test "$(CONFIRM)" = yes || { echo 'This removes all conversations and answers in results/; to go on: make clean-results CONFIRM=yes' >&2; exit 1; }
	rm -rf results

$(STAMP): requirements.lock pyproject.toml
	@$(or $(PYTHON),false) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || { echo \
	    'Python 3.11 or later is needed, and "$(or $(PYTHON),python3)" is not: install it, or say where it is: make env PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -m valuestab_utils.environment "$(VENV)" $(PIP_ARGS)

$(MODEL_CARD): | $(STAMP)
	$(RUN) valuestab_utils.embedded
