# Everything that a contributor runs. `make` alone lists the targets.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help build dist image demo test chaos lint tools bench generate vuln

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the static binary into dist/headgate
	eval "$$(scripts/source.sh)" && scripts/build.sh dist/headgate

dist: ## Make what a release has, of this machine's platform, into dist/
	scripts/dist.sh

image: ## Build the image with Docker into dist/headgate-image.tar (amd64 and arm64)
	scripts/image.sh

demo: ## Run the demo: a gateway, workers and simulated backends in one process
	go run . demo

test: ## Run all tests with the race detector (installs redis-server when it is missing)
	@scripts/redis.sh
	@scripts/test.sh

chaos: ## Break processes, networks and Redis under load and count what is lost (SHORT=1: 8 minutes at most)
	@scripts/redis.sh
	go run ./chaos $(if $(SHORT),-short) $(if $(SEED),-seed $(SEED)) $(if $(RUN),-run '$(RUN)')

lint: tools ## Run every static check: code, modules, chart, alerts, generated files
	go vet ./...
	.tools/bin/golangci-lint run ./...
	go mod verify
	scripts/helm-check.sh
	scripts/alerts-check.sh
	scripts/image-check.sh
	scripts/generated-check.sh
	scripts/vuln.sh

tools: ## Build the pinned tools of lint into .tools/bin
	@scripts/tools.sh

bench: ## Measure real processes against baselines: 12 minutes (QUICK=1: 100 s; LONG=1: more; JSON=file)
	@scripts/redis.sh
	go run ./bench $(if $(QUICK),-quick) $(if $(LONG),-long) $(if $(JSON),-json '$(JSON)')

generate: ## Write the JSON Schemas and the reference pages from the code
	scripts/generate.sh

vuln: tools ## Fail on known vulnerabilities (needs the database on the network)
	scripts/vuln.sh --strict
