# Everything a developer does, by name. `make` alone says what there is.
# The servers that are needed (RabbitMQ, livekit-server, PostgreSQL) are found, or got and started, by deploy/servers.

PYTHON ?= python3
UV ?= uv
ARGS ?=
FAST ?=
ONCE ?=
SWITCHED_ON := $(filter-out 0,$(FAST))
# Tests run in so many processes; ARGS goes to pytest: make test ARGS="-k webhook -x"
JOBS ?= 3
# Modules stay together where they share servers; else whoever is done takes tests from those that are not.
DIST := $(if $(SWITCHED_ON),worksteal,loadscope)

# What was compiled once need not be compiled by each of the hundreds of processes that the tests start.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
STAMP := .venv/.from-lock
COMPILE := $(UV) pip compile -q --universal --python-version 3.11 --generate-hashes --no-header pyproject.toml
RUN_MODULE ?= $(BIN)/python -m
PYTEST := $(RUN_MODULE) pytest --numprocesses $(JOBS) --dist $(DIST)

.DEFAULT_GOAL := help
.PHONY: help run up test coverage lint docs format bench servers page lock clean

help: ## Says what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo 'Examples:'
	@echo '  make run                        one conversation, then it stays up until Ctrl-C'
	@echo '  make run ONCE=1                 the same, and out'
	@echo '  make test FAST=1                the tests that need no server, in seconds'
	@echo '  make test ARGS="-k webhook -x"  some of the tests, until the first failure'
	@echo '  JUNE_TEST_RABBITMQ=4 make test  on one of the two versions of RabbitMQ only'

run: $(STAMP) ## Starts everything and plays one conversation with real parts
	@$(BIN)/python -m examples.conversation $(if $(filter-out 0,$(ONCE)),--once)

test: $(STAMP) ## Runs the tests, on real servers
ifneq ($(SWITCHED_ON),)
	@JUNE_TEST_FAST=1 $(PYTEST) $(ARGS)
else
# In the order of the folders: the slow modules of e2e come before the thousands of quick tests that even out the end.
	@$(BIN)/python -m deploy.servers exec -- $(PYTEST) --no-loadscope-reorder $(ARGS)
endif

coverage: $(STAMP) ## Runs the tests as `make test` does, and says which lines and branches they leave out
	@$(BIN)/coverage erase
	@$(MAKE) --no-print-directory test RUN_MODULE='$(BIN)/coverage run -m'
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

lint: style types imports scripts ## Checks style, types, the rules of imports and the scripts
.PHONY: style types imports scripts
style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: $(STAMP)
	$(BIN)/mypy
imports: $(STAMP)
	$(BIN)/lint-imports
scripts: $(STAMP)
	$(BIN)/shellcheck .ci/run $$(git ls-files '*.sh')

up: $(STAMP) page ## Starts all of it on this machine, with the live page for a browser, until Ctrl-C
	@$(BIN)/june up --servers --samples

docs: $(STAMP) ## Writes the pages made from the code, and builds the site into .june/site
	$(BIN)/python -m deploy.docs.pages
	$(BIN)/zensical build --strict --clean

format: $(STAMP) ## Formats the code and mends what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## Measures against the yardsticks, in one run
	@$(BIN)/python -m benchmarks $(ARGS)

servers: $(STAMP) ## Installs the servers that are missing (minutes, once), and starts none
	@$(BIN)/python -m deploy.servers prepare

page: ## Gets LiveKit's browser client, with which the live page joins calls (needs npm, once)
	@session_api/vendor.sh

lock: ## Writes the locks anew from pyproject.toml (needs uv)
	$(COMPILE) -o requirements.lock
	$(COMPILE) --extra dev -o requirements-dev.lock

clean: ## Removes what was made here, but not the cache of servers
	rm -rf .venv .june .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov .coverage*

$(STAMP): requirements-dev.lock deploy/venv.sh
	@deploy/venv.sh $(PYTHON)
	@touch $@
