# The commands of the book. `make book` and `make test` work in a fresh clone.
PROFILE ?= laptop
VENV ?= .venv
SITE ?= _build/html
PORT ?= 8000
PAPER ?= a4
TORCH := $(shell sed -n 's/^\# torch==//p' requirements.lock)
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUILD := $(BIN)/python book/build.py

# The first Python from 3.11 to 3.13 that runs and can make environments.
SUITS := import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUITS)' >/dev/null 2>&1 && { echo $$p; break; }; done)

# Two chapters or test processes run side by side, each on one thread.
export OMP_NUM_THREADS ?= 1
export MKL_NUM_THREADS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
CAMPAIGN ?= ../plasticity-campaign
.PHONY: help book test lint format unit chapters nbval site lab serve notebooks bench paper \
	article pdf campaign campaign-collect lock sbom setup clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 18

book: $(READY) ## execute the chapters (PROFILE=laptop) and build the book
	$(BUILD) all --profile $(PROFILE) --output $(SITE)
	@echo "open $(SITE)/index.html, or run: make serve"

test: lint unit chapters nbval site ## everything that must hold, at profile smoke

setup: $(READY) ## make .venv from requirements.lock

$(READY): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "needed Python 3.11 to 3.13 with its venv module" \
	"(Debian: python3-venv), found none that works; install one, or name it:" \
	"make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c '$(SUITS)' 2>/dev/null || { echo "needed Python 3.11 to 3.13 with venv and" \
	"ensurepip (Debian: python3-venv), found $(PYTHON):" \
	"$$($(PYTHON) -V 2>&1 | head -1)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q "torch==$(TORCH)"
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

lint: $(READY) ## ruff, mypy and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell

format: $(READY) ## bring code, catalogue and chapters into their one form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python -m isometry.catalogue
	$(BUILD) normalise

unit: $(READY) ## unit, contract and book tests
	$(BIN)/pytest -q -n 2 --dist worksteal -m "not slow and not site and not browser"

chapters: $(READY) ## the strict book at profile smoke, in _build/smoke
	$(BUILD) all --profile smoke --output _build/smoke

nbval: chapters ## run the tagged claim cells again in fresh kernels and compare
	$(BUILD) check --profile smoke

site: chapters ## every page of _build/smoke in a headless browser
	BOOK_SITE=_build/smoke $(BIN)/pytest -q -n 2 --dist worksteal tests/book -m "(site or browser) and not slow"

lab: $(READY) ## open the chapters as notebooks in JupyterLab
	@mkdir -p $(VENV)/etc/jupyter/labconfig
	@cp book/lab-settings.json \
	$(VENV)/etc/jupyter/labconfig/default_setting_overrides.json
	$(BIN)/jupyter lab --config=book/lab_config.py \
	--LabApp.default_url=/lab/tree/chapters/01_plasticity.md $(LAB)

serve: ## serve the built book on this machine
	@test -f $(SITE)/index.html || { echo "needed a built book in $(SITE); run: make book"; \
	exit 1; }
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(SITE) $(PORT)

notebooks: $(READY) ## write the chapters as .ipynb that run anywhere into notebooks/
	$(BUILD) notebooks --profile $(PROFILE)

bench: $(READY) ## measure speed and memory; see benchmarks/README.md
	@found=$$(ls benchmarks/*.py 2>/dev/null); \
	test -n "$$found" || echo "there are no scripts in benchmarks/"; \
	for script in $$found; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

paper: $(READY) ## execute one chapter after the other at the paper's sizes (GPU)
	$(BUILD) all --profile paper --jobs 1 --output $(SITE)

pdf: $(READY) ## the book as one PDF (PAPER=a4 or letter), printed by Chromium
	$(BUILD) pdf --profile $(PROFILE) --paper $(PAPER)

article: $(READY) ## the article on this replication, written and printed to _build/article.pdf
	$(BIN)/python paper/article.py pdf

# In a worktree of its own, which stays at the commit at which it was made: other work on
# the code does not disturb it. To move it: collect, commit, `git worktree remove`, again.
campaign: ## work through sweeps/campaign in the background of this machine; resumable
	git worktree prune
	@test -d $(CAMPAIGN) || git worktree add --detach $(CAMPAIGN)
	$(MAKE) -C $(CAMPAIGN) setup
	cd $(CAMPAIGN) && $(BIN)/python sweeps/campaign.py

campaign-collect: $(READY) ## bring what the campaign has finished into results/
	$(BIN)/isometry collect $(CAMPAIGN)/results --out results

lock: ## solve the dependencies anew into requirements.lock
	$(PYTHON) book/lock.py

# The tool has an environment of its own: it lists what is installed, not itself.
sbom: $(READY) ## list all packages that are installed, as CycloneDX, in _build/sbom.json
	@test -x _build/sbom/bin/cyclonedx-py || $(PYTHON) -m venv _build/sbom
	_build/sbom/bin/pip install -q cyclonedx-bom
	_build/sbom/bin/cyclonedx-py environment --pyproject pyproject.toml --mc-type library \
	--output-reproducible --of JSON -o _build/sbom.json $(BIN)/python

clean: ## remove everything that was built; .venv stays
	rm -rf _build _run _stage notebooks .pytest_cache .ruff_cache .mypy_cache .hypothesis
