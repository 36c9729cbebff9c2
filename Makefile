# The only entry point. `make` alone lists the targets.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

help: ## list these targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "linepool needs Python 3.11 or newer; set PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

setup: $(READY) ## make the virtual environment from the lock

demo: $(READY) ## run one whole purchase before your eyes; leaves demo-output/index.html
	$(BIN)/linepool demo

up: $(READY) ## start the same system and leave it running, paused before the selection
	$(BIN)/linepool up

down: $(READY) ## stop what `make up` started
	$(BIN)/linepool down

unit: $(READY) ## the decisions alone, in seconds
	$(BIN)/pytest -n 2 tests/unit tests/contract

test: in-process integration ## all tests but the full sweep, soak and containers

in-process: $(READY)
	$(BIN)/pytest -n 2 -m "not soak" tests/unit tests/contract tests/service tests/flow

integration: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile -m "not sweep and not soak and not chart" tests/integration

sweep: $(READY) ## kill every service at every crash point
	$(BIN)/pytest -n 2 -m sweep tests/integration

guards: $(READY) ## break each guard of delivery and the gate on purpose, and see its test fail
	$(BIN)/python -m tests.guards

alerts: $(READY) ## let Prometheus's own checker fire each alert; builds it with Go where it is not installed
	$(BIN)/pytest -n 2 tests/deploy/test_alert_rules.py

soak: $(READY) ## what takes longer than a build may
	$(BIN)/pytest -m soak --timeout 7200

build/bin/helm: deploy/helm/go.mod deploy/helm/go.sum
	@command -v go >/dev/null || { echo "helm is built with Go 1.26 or newer; or set LINEPOOL_HELM to a helm" >&2; exit 1; }
	mkdir -p build/bin
	cd deploy/helm && go build -trimpath -ldflags "-s -w" -o ../../build/bin/helm helm.sh/helm/v4/cmd/helm

chart-test: $(READY) build/bin/helm ## render the chart for many values; validate all, check policies and access; live with it at a real Kafka
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r deploy/helm/requirements.txt
	build/bin/helm lint --strict --quiet deploy/chart --values deploy/chart/example-values.yaml
	$(BIN)/pytest -n 2 tests/deploy/test_chart_*.py tests/deploy/test_jobs.py
	$(BIN)/pytest -n 2 --dist loadfile -m chart tests/integration

cluster-test: $(READY) $(if $(LINEPOOL_HELM),,build/bin/helm) ## install the chart on the cluster of KUBECONFIG: a purchase, an upgrade, a drain, a dead node
	$(BIN)/pytest -x -rP tests/cluster

image: $(READY) ## build the image linepool:VERSION; PYTHON_IMAGE names its base, DOCKER the program
	deploy/image/build

lint: $(READY) ## format, rules, types, architecture, freshness of what is generated
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m docs.generate --check

format: $(READY) ## put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(READY) ## write what is generated: schemas, flow page, canvases, tables
	$(BIN)/python -m docs.generate

bench: $(READY) ## measure speed as ratios against the bare client and database
	$(BIN)/python -m bench

lock: ## resolve requirements.in anew into requirements.txt
	$(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile requirements.in --generate-hashes --universal --python-version 3.11 \
		--no-emit-index-url --no-emit-find-links --no-header --quiet --output-file requirements.txt
	sed -i '1i # Written by `make lock` from requirements.in; every file is checked against its hash at installation.' requirements.txt

clean: ## remove the virtual environment and everything that was built or run
	rm -rf $(VENV) build demo-output .linepool

.PHONY: help setup demo up down unit test in-process integration sweep guards alerts soak chart-test cluster-test image lint format generate bench lock clean
