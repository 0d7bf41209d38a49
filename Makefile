# Peyk: see `make help`.
SHELL := /bin/bash
export CGO_ENABLED ?= 0
export GOTOOLCHAIN ?= local
# The flags with which `peyk build` makes images, so that one compilation serves programs, tests and images.
export GOFLAGS := -buildvcs=false -trimpath -tags=timetzdata
LOCAL_GOFLAGS := -buildvcs=false

BIN     := $(CURDIR)/bin
NAME    ?= demo
# What `make bench` measures.
N         ?= 100
SCENARIOS ?= a,b,c,d,e,f,g,h
IDLE      ?= 1m
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# What the local cluster needs, what the images are assembled with, and what the tests run against.
PACKAGES := ca-certificates conntrack containernetworking-plugins curl git iproute2 kmod mount nftables procps runc util-linux
TEST_PACKAGES := ansible-core postgresql-15 redis-server rsync
# npm comes with some distributions of Node.js, and is a package of its own in Debian's.
TEST_PACKAGES += $(shell command -v npm >/dev/null || echo nodejs npm)

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults down build tools deps test-deps unit e2e nodes bench generate verify lint

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: deps build tools ## start a cluster, install Peyk, deliver the sample application (root, Debian 12)
	$(BIN)/demo --name $(NAME) --bin $(BIN) --root $(CURDIR)

down: ## remove everything that `make demo` made
	@if [ -x $(BIN)/peyk-local ]; then $(BIN)/peyk-local down --name $(NAME); else echo "nothing to remove: $(BIN)/peyk-local was not built"; fi

test: deps test-deps build tools verify unit e2e nodes ## run every test, end-to-end included (root, Debian 12)

test-faults: deps test-deps build tools ## run the fault tests at full length: kills, crashes, 5 000 objects, 20 000 files, 20 000 webhook calls, lost nodes
	PEYK_FAULTS=full go test -count=1 -timeout 80m -v ./test/faults ./test/webhook ./internal/git
	PEYK_FAULTS=full go test -count=1 -timeout 40m -v -run Loses ./test/packs/nodes

build: ## build peyk, peyk-local and its programs into bin/
	go build -ldflags "-s -w -X main.version=$(VERSION)" -o $(BIN)/peyk ./cmd/peyk
	go build -o $(BIN)/demo ./test/demo
	GOFLAGS=$(LOCAL_GOFLAGS) sh local/build.sh $(BIN)

tools: ## build the stock kubectl, helm and flux of the pinned releases into bin/
	@v=$$(go list -m -f '{{.Version}}' helm.sh/helm/v4); set -x; \
	go build -ldflags "-s -w -X helm.sh/helm/v4/internal/version.version=$$v" -o $(BIN)/helm helm.sh/helm/v4/cmd/helm
	@cd local; export GOFLAGS=$(LOCAL_GOFLAGS); v=$$(go list -m -f '{{.Version}}' k8s.io/kubernetes); set -x; \
	go build -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$$v -X k8s.io/client-go/pkg/version.gitVersion=$$v" -o $(BIN)/kubectl k8s.io/kubernetes/cmd/kubectl
	sh test/flux/client/build.sh $(BIN)

deps: ## install the Debian packages that the local cluster needs
	@$(call install,$(PACKAGES))

test-deps: ## install the Debian packages that the tests need besides
	@$(call install,$(TEST_PACKAGES))

unit: ## run the tests of the three modules (root: those of peyk-local start nodes)
	go test -count=1 $$(go list ./... | grep -v -e /test/e2e -e /test/packs/nodes)
	cd samples/ping && go test -count=1 ./...
	cd local && GOFLAGS=$(LOCAL_GOFLAGS) go test -count=1 -timeout 20m ./...

e2e: ## run the demo and the tests on it, and check that nothing is left behind
	go test -count=1 -timeout 25m ./test/e2e

nodes: ## run Packs on three nodes: every sample of the reference, databases that lose a node, a backup and its restoration
	go test -count=1 -timeout 40m ./test/packs/nodes

bench: build ## measure Peyk next to a bare client: N=100 (or N=100,1000) SCENARIOS=a,b,c,d,e,f,g,h IDLE=1m BENCHFLAGS=
	go run ./test/bench --n "$(N)" --scenarios "$(SCENARIOS)" --idle "$(IDLE)" $(BENCHFLAGS)

generate: ## write the generated files anew
	go tool controller-gen object paths=./api/...
	go generate ./api/crds

verify: ## check that generated files are up to date, and that the code is formatted and vetted
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo "run gofmt -w on these files"; exit 1; }
	$(MAKE) --no-print-directory generate
	@git diff --exit-code --stat -- api || { echo "generated files are out of date: commit what make generate wrote"; exit 1; }
	go vet ./...
	cd local && GOFLAGS=$(LOCAL_GOFLAGS) go vet ./...
	cd samples/ping && go vet ./...

lint: ## run golangci-lint, when it is installed
	golangci-lint run ./...

# install asks apt-get for the packages that are missing, and says so.
define install
missing=$$(for p in $(1); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
if [ -n "$$missing" ]; then \
	echo "installing with apt-get:" $$missing; \
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/tmp/peyk-apt.log || { tail -20 /tmp/peyk-apt.log; exit 1; }; \
fi
endef
