# What can be done with this repository. `make` alone prints it.

BIN         := bin/mcp-sidecar
# How much of a version the tree knows; empty outside of a clone, and then the binary says (devel).
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null)
# Go refuses to build where git refuses to answer, so that it is told not to ask.
BUILDVCS    := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
BUILD       := go build -trimpath -buildvcs=$(BUILDVCS) -ldflags "-X main.version=$(VERSION)"
IMAGE       ?= mcp-sidecar
FUZZTIME    ?= 1m
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help run build test check bench fuzz image clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-7s %s\n", $$1, $$2 }' Makefile

run: build ## build it and start it with a demo server, data in ./data; Ctrl-C ends it
	@exec $(BIN) serve --demo

build: ## build bin/mcp-sidecar
	@mkdir -p bin
	CGO_ENABLED=0 $(BUILD) -o $(BIN) ./cmd/mcp-sidecar

test: ## run every test, with the race detector, and every fuzz target with 200 new inputs; installs what they need first
	@.ci/prepare
	@race=; if command -v "$$(go env CC)" >/dev/null; then race=-race; else echo "no C compiler: without the race detector"; fi; \
	set -ex; go test $$race -timeout 14m ./...; \
	go test ./internal/rawtcp ./internal/outbound # without the detector, under which they make other system calls
	@.ci/fuzz 200x

check: ## formatting, vet, staticcheck and the rules of who imports whom
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go test -count=1 ./internal/importtest

bench: ## measure against a bare reverse proxy, and print the table of the README
	go run ./internal/bench

fuzz: ## run every fuzz target for FUZZTIME (1m)
	@.ci/fuzz $(FUZZTIME)

image: ## build the container image
	docker build --build-arg VERSION=$(VERSION) -t $(IMAGE) .

clean: ## remove what was built; data stays
	rm -rf bin
