# `make` alone lists the targets. Python >= 3.11 and make are needed; Go >= 1.26 only if a tool must be built from source.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
BIN := $(VENV)/bin

# T: pytest's arguments instead of the whole suite, as in `make unit T='tests/unit/test_config.py -x'`.
T ?=
suites = @$(BIN)/python tests/support/suites.py $(if $(T),--only '$(T)')

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: setup
setup: $(STAMP) ## make .venv from the locked requirements

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "error: $(PYTHON) is missing or older than 3.11; install it: sudo apt-get install python3 python3-venv (or name another: make PYTHON=python3.12 ...)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "error: $(PYTHON) has no venv module; install it: sudo apt-get install python3-venv" >&2; exit 1; }
	@echo "installing the Python environment into $(VENV) (about 130 packages, a few minutes the first time)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python tierup/local/toolchain/pip_progress.py requirements/dev.txt
	@# compat mode puts the checkout itself on the path, so that new packages and type checkers see it
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
		--config-settings editable_mode=compat -e .
	@touch $@

.PHONY: lock
lock: setup ## renew requirements/*.txt from pyproject.toml
	@$(BIN)/python -m pip install --quiet pip-tools uv
	@export CUSTOM_COMPILE_COMMAND="make lock"; \
	common="--quiet --generate-hashes --no-emit-index-url --no-emit-find-links --annotation-style=line"; \
	compile="$(BIN)/pip-compile $$common --allow-unsafe --strip-extras --no-emit-trusted-host"; \
	$$compile -o requirements/base.txt pyproject.toml; \
	$$compile --extra loadtest -c requirements/base.txt -o requirements/loadtest.txt pyproject.toml; \
	$$compile --extra dev --extra loadtest -c requirements/loadtest.txt -o requirements/dev.txt pyproject.toml; \
	compile="$(BIN)/uv pip compile $$common --universal --python-version 3.11 --custom-compile-command"; \
	$$compile "$$CUSTOM_COMPILE_COMMAND" --override requirements/engine-cpu-overrides.in \
		-o requirements/engine-cpu.txt requirements/engine-cpu.in >/dev/null; \
	$$compile "$$CUSTOM_COMPILE_COMMAND" --override requirements/clients-overrides.in \
		-o requirements/clients.txt requirements/clients.in >/dev/null; \
	$$compile "$$CUSTOM_COMPILE_COMMAND" -o requirements/vllm-router.txt requirements/vllm-router.in >/dev/null

.PHONY: toolchain
toolchain: setup ## install the pinned tools (PATH, else download, else built from source)
	@$(BIN)/python -m tierup.local.toolchain install

.PHONY: engine-env
engine-env: setup ## install vLLM's CPU build into the cache folder (about 6 GB)
	@$(BIN)/python -m tierup.local.toolchain.engine_env

.PHONY: clients-env
clients-env: setup ## install LangChain, LiteLLM and GuideLLM into the cache folder (about 700 MB)
	@$(BIN)/python -m tierup.local.toolchain.clients_env

.PHONY: browser-env
browser-env: setup ## take a headless browser from PATH, or unpack one into the cache folder (about 300 MB)
	@$(BIN)/python -m tierup.local.toolchain.browser

.PHONY: demo
demo: setup ## bring the standard tier up on simulated GPU nodes and, as root, a service whose pods run and answer a chat
	@$(BIN)/python -m tierup.local.toolchain install --group cluster
	@$(BIN)/tierup local up --stack standard
	@if [ "$$(id -u)" = 0 ]; then $(MAKE) --no-print-directory demo-served; \
	else echo "no pod runs and no chat is answered: this takes root (sudo make demo-served)"; fi

.PHONY: local-node
local-node: setup engine-env ## install what `tierup local up --node real` needs
	@$(BIN)/python -m tierup.local.toolchain install --group cluster
	@$(BIN)/python -m tierup.local.toolchain install --group checks
	@$(BIN)/python -m tierup.local.toolchain install --group node
	-@$(BIN)/python -m tierup.local.toolchain install --group current-nginx

.PHONY: demo-served
demo-served: local-node ## run the pods of the local stack on this machine and send a chat; needs root
	@$(BIN)/tierup plan --stack local
	@$(BIN)/tierup cost --stack local
	@$(BIN)/tierup local up --stack local --node real

.PHONY: demo-down
demo-down: setup ## remove what `make demo` and `make demo-served` made
	@$(BIN)/tierup local down --stack standard
	@$(BIN)/tierup local down --stack local

.PHONY: dev
dev: setup engine-env ## run the standard tier's gateway, two vLLM CPU servers and Prometheus, until Ctrl-C
	@$(BIN)/python -m tierup.local.toolchain install --group checks
	@$(BIN)/tierup dev up --stack standard

# tests/support/suites.py installs what a suite needs: here a target's name is all there is to say.
.PHONY: test
test: setup ## all tests; one failing suite hides no other
	$(suites)

.PHONY: ci
ci: setup ## all tests, style and types
	$(suites) all

.PHONY: unit
unit: setup ## tests that need only Python
	$(suites) unit

.PHONY: coverage
coverage: setup ## the unit tests again, slower, with the share of the statements that they run
	$(suites) coverage

.PHONY: browser
browser: setup ## tests of pages in a headless browser; skipped with a message without one
	$(suites) browser

.PHONY: engine
engine: setup ## tests against a real vLLM server on the CPU
	$(suites) engine

.PHONY: data-path
data-path: setup ## tests of requests on their way through a real Nginx
	$(suites) data-path

.PHONY: local-cluster
local-cluster: setup ## tests on a real node that runs pods on this machine; needs root
	$(suites) local-cluster

.PHONY: node-outages
node-outages: setup ## 15 minutes more: two real nodes, one of them drained and without power, under load; needs root
	$(suites) node-outages

.PHONY: control-plane
control-plane: setup ## tests against a real API server, scheduled on simulated nodes
	$(suites) control-plane

.PHONY: check
check: setup ## lint and the unit tests: the loop of every hour
	$(suites) lint unit

.PHONY: fmt
fmt: setup ## format, and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

.PHONY: outdated
outdated: setup ## list the pinned Python packages that have newer releases
	@$(BIN)/python -m pip list --disable-pip-version-check --outdated

.PHONY: lint
lint: setup ## style, formatting, strict types, imports from floors below
	$(suites) lint

.PHONY: bench
bench: setup toolchain ## compare `pulumi up` with kubectl; prints one JSON line last
	@$(BIN)/python benchmarks/up.py

.PHONY: bench-gateway
bench-gateway: setup ## compare the gateway with other proxies, in speed and for waiting chats; one JSON line last each
	@$(BIN)/python benchmarks/gateway.py
	@$(BIN)/python benchmarks/priority.py

.PHONY: generate schema
generate: setup ## renew the committed generated files
	@$(BIN)/python -m tierup.cli.generate
schema: generate ## the same as generate
