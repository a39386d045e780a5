# `make help` lists the targets.
.PHONY: help deps test-deps build test soak lint bench demo run-server assets screenshots

# The version that both programs report.
VERSION = $$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
SOAK = 10000
GO_BUILD = CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)"
# What make deps got comes before what the system has.
WITH_DEPS = PATH="$(CURDIR)/.deps/bin:$$PATH"
GOLANGCI_LINT = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' Makefile

deps: ## get restic and rest-server into .deps/bin
	@sh scripts/deps.sh

test-deps: ## install PostgreSQL and Chromium, on Debian with root
	@sh scripts/test-deps.sh

build: ## build both programs into bin/
	$(GO_BUILD) -o bin/restic-manager-server ./cmd/server
	$(GO_BUILD) -o bin/restic-manager-agent ./cmd/agent

test: deps test-deps ## check and test everything
	@unformatted=$$(gofmt -l cmd internal test web); \
		test -z "$$unformatted" || { echo "gofmt -w would change:" $$unformatted; exit 1; }
	go vet ./...
	for os in windows darwin freebsd; do CGO_ENABLED=0 GOOS=$$os go build -o /dev/null ./cmd/agent || exit 1; done
	$(WITH_DEPS) go run ./test/mustrun -count=1 -timeout 12m ./...
	go test -race -count=1 -timeout 5m -run 'TestSimulation$$' ./test/sim

# How many worlds a soak simulates.
SOAK = 10000

soak: ## simulate three days of faults 10,000 times: make soak SOAK=500
	go test -c -o bin/sim.test ./test/sim
	cd test/sim && ../../bin/sim.test -test.timeout 0 -test.run 'TestSimulation$$' -soak $(SOAK)

lint: ## run golangci-lint, which is compiled at first
	go run $(GOLANGCI_LINT) run ./...

bench: deps ## print the figures of the design: make bench BENCH_ARGS="-cancels 100"
	$(WITH_DEPS) go test -run '^$$' -bench . -benchtime 1x -timeout 20m ./test/bench -args $(BENCH_ARGS)

demo: deps build ## show a small fleet, live: make demo DEMO_ARGS="--hosts 5"
	@$(WITH_DEPS) bin/restic-manager-server demo $(DEMO_ARGS)

run-server: build ## run the server with its data in ./data
	bin/restic-manager-server serve --data-dir data $(SERVER_ARGS)

assets: ## refresh the vendored front-end files from npm
	sh scripts/assets.sh

screenshots: deps test-deps build ## write docs/screenshots
	$(WITH_DEPS) go test ./test/screens -count=1 -timeout 10m -run TestScreenshots -args -screenshots="$(CURDIR)/docs/screenshots"
