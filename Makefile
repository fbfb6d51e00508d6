# Every command a developer needs. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PY := .venv/bin/python
VERSION_FILES := requirements-dev.lock pyproject.toml

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/\1\t\2/' | expand -t 12

.venv/installed: $(VERSION_FILES)
	@tools/install-python
	@touch $@

.PHONY: setup
setup: .venv/installed ## Make the virtual environment from the lock file

.PHONY: demo
demo: setup ## Run the main job, embedded: nothing else to install or start
	@.venv/bin/taskandgo demo

.PHONY: up
up: setup ## Run all four services in one process (gRPC 50051, HTTP 8080, dashboard 8081)
	@.venv/bin/taskandgo up

.PHONY: test
test: setup ## Run all tests, on a real RabbitMQ and a real PostgreSQL
	@tools/install-bubblewrap
	@tools/install-servers
	@tools/install-chromium
	@tools/install-prometheus
	@$(PY) -m pytest --ignore=tests/sandbox
	@# In a process of its own: it counts what that process holds before and after each attack.
	@$(PY) -m pytest tests/sandbox

.PHONY: test-docker
test-docker: setup ## Build the images, bring up docker-compose.yml, and use it at both levels: needs a Docker engine
	@$(PY) -m pytest tests/docker

.PHONY: test-newer-broker
test-newer-broker: setup ## Run contract, end-to-end and chaos tests (or TESTS=…) on a newer RabbitMQ, unpacked from Debian sid
	@tools/install-servers
	@newer=$$(tools/install-newer-rabbitmq) && NEWER_RABBITMQ=$$newer $(PY) -m pytest $(or $(TESTS),tests/contract tests/e2e tests/chaos)

.PHONY: chaos
chaos: setup ## Inject faults into the running services, and see whether they keep their promises; ARGS="--minutes 20 --seed 1"
	@tools/install-servers
	@$(PY) -m tests.chaos $(ARGS)

.PHONY: check
check: setup ## Lint, types, layers, generated code: no servers needed
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports
	@tools/generate-proto --check
	@tools/lint-proto
	@tools/vendor-dashboard --check
	@tools/write-dashboards --check
	@tools/write-cluster-monitoring --check
	@tools/check-alerts
	@.venv/bin/hadolint Dockerfile
	@$(PY) -m pytest -q tests/unit tests/architecture tests/deploy --ignore=tests/deploy/test_install.py

.PHONY: fix
fix: setup ## Format, and mend what the linter can mend
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

.PHONY: proto
proto: setup ## Generate taskandgo/api from proto/
	@tools/generate-proto

.PHONY: vendor
vendor: ## Copy the dashboard's libraries anew, as package.json pins them
	@tools/vendor-dashboard

.PHONY: dashboards
dashboards: setup ## Write the Grafana dashboards from dashboards/
	@tools/write-dashboards

.PHONY: lock
lock: setup ## Resolve the dependencies anew
	@tools/lock-dependencies

.PHONY: bench
bench: setup ## Measure the stack side by side with Celery and Dramatiq
	@tools/install-bubblewrap
	@tools/install-servers
	@$(PY) -m bench

.PHONY: bench-split
bench-split: setup ## Measure split tasks: uneven ones, many chunks beside others, two slots against one
	@tools/install-servers
	@$(PY) -m bench.split

.PHONY: bench-monitor
bench-monitor: setup ## Measure the monitor: its rate and its memory over 1,000,000 events
	@tools/install-servers
	@$(PY) -m bench.monitor

.PHONY: bench-sandbox
bench-sandbox: setup ## Measure the sandbox alone: beside a bare fork, bubblewrap and a cold Python; Go
	@tools/install-bubblewrap
	@$(PY) -m bench.sandbox

.PHONY: bench-observability
bench-observability: setup ## Measure what tracing and metrics cost: the same stack with them off and on, taking turns
	@tools/install-servers
	@$(PY) -m bench.observability

.PHONY: bench-costs
bench-costs: setup ## Measure what a task costs each service, RabbitMQ and PostgreSQL, in CPU time
	@tools/install-servers
	@$(PY) -m bench.service_costs
