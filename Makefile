# `make help` lists what there is. Needs Go, git and make, and root or sudo for what `make tools` installs.

.DEFAULT_GOAL := help
SHELL := /bin/bash
GO ?= go

# The daemon's version is engine/go.mod's.
BUILDKIT := $(shell sed -n 's|^\tgithub.com/moby/buildkit \(v[^ ]*\).*|\1|p' engine/go.mod)
BUILDX := $(shell sed -n 's|^\tgithub.com/docker/buildx \(v[^ ]*\).*|\1|p' internal/tools/go.mod)
# Packages without a process or a file of their own: these run under the race detector.
PURE := ./lang/... ./compiler/...
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

## demo: install what is missing, build hbuild and its engine, build an example and run it
.PHONY: demo
demo: tools bin/hbuild bin/buildkitd bin/standins
	bin/standins run -- internal/demo/demo.sh

## test: everything, real builds included
.PHONY: test
test: tools bin/hbuild bin/buildkitd bin/buildx bin/testengine
	@$(MAKE) --no-print-directory vet
	$(GO) test -race $(PURE)
	bin/testengine run -- $(GO) test $$($(GO) list ./... | grep -v -E '/hbuild/(lang|compiler)(/|$$)')

## corpus: import Dockerfiles and compare them with BuildKit: its own tests' and CORPUS=DIR's
.PHONY: corpus
corpus:
	$(GO) run ./internal/corpus/cmd/corpus $(CORPUS)

SIZES ?= 1,10,50,200,1000
RUNS ?= 3
## bench: how long compiling and building take, beside Bake (over an hour); SIZES=, RUNS=; writes bench/results.md
.PHONY: bench
bench: tools bin/hbuild bin/buildkitd bin/buildx
	$(GO) build -o bin/bench ./internal/bench
	bin/bench -sizes '$(SIZES)' -runs $(RUNS) -o bench/results.md $(BENCH)

# vet is the part of lint that needs no download.
.PHONY: vet
vet:
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | grep -v /testdata/ | xargs gofmt -l); \
	if [ -n "$$unformatted" ]; then echo "not formatted (make fmt):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...

## lint: formatting, go vet and staticcheck
.PHONY: lint
lint: vet
	$(GO) run $(STATICCHECK) ./...

## fmt: format the Go code
.PHONY: fmt
fmt:
	@git ls-files -co --exclude-standard '*.go' | grep -v /testdata/ | xargs gofmt -l -w

## update: write the expected results of tests anew; review the diff
.PHONY: update
update: tools bin/hbuild bin/buildkitd bin/testengine
	@packages=$$(git grep -l --untracked -F '"update"' -- '*_test.go' | xargs -r -n1 dirname | sort -u | sed 's|^|./|'); \
	if [ -n "$$packages" ]; then bin/testengine run -- $(GO) test $$packages -update; fi

## tools: install the programs that builds and tests use (apt-get), as far as they are missing
.PHONY: tools
tools:
	@.ci/tools

# The go command finds out by itself whether there is anything to do, so it is always asked.
## bin/hbuild: the program
.PHONY: bin/hbuild bin/standins bin/testengine
bin/hbuild:
	$(GO) build -o $@ ./cmd/hbuild

bin/standins:
	$(GO) build -o $@ ./internal/testimage/cmd/standins

bin/testengine:
	$(GO) build -o $@ ./internal/testengine/cmd/testengine

# One compilation gives both; without cgo, so that they run on any Linux. It takes minutes, once.
## bin/buildkitd: BuildKit's daemon, for a private engine, and buildctl
bin/buildkitd: engine/go.mod engine/go.sum
	@echo "building BuildKit $(BUILDKIT) (some minutes, once)"
	CGO_ENABLED=0 $(GO) build -C engine -trimpath -tags 'osusergo netgo static_build seccomp' \
		-ldflags '-s -w -X github.com/moby/buildkit/version.Version=$(BUILDKIT)' \
		-o ../bin/ github.com/moby/buildkit/cmd/buildkitd github.com/moby/buildkit/cmd/buildctl
	@touch bin/buildkitd

# Docker's client, for the tests of the frontend image. It takes a minute or two, once.
## bin/buildx: docker buildx
bin/buildx: internal/tools/go.mod internal/tools/go.sum
	@echo "building buildx $(BUILDX) (a minute or two, once)"
	CGO_ENABLED=0 $(GO) build -C internal/tools -trimpath -ldflags '-s -w -X github.com/docker/buildx/version.Version=$(BUILDX)' \
		-o ../../bin/buildx github.com/docker/buildx/cmd/buildx
	@touch bin/buildx

## image: the frontend image and the images of the tests, built by hbuild from hbuild.hcl, in dist/
.PHONY: image
image: tools bin/hbuild bin/buildkitd bin/testengine
	@mkdir -p dist
	bin/testengine run -- sh -e -c 'for i in frontend test-scanner; do \
		bin/hbuild build $$i --engine $$HBUILD_TEST_ENGINE -o type=oci,dest=dist/$$i.tar; done'
	@ls -l dist/frontend.tar

## help: this list
.PHONY: help
help:
	@sed -n 's/^## \([^:]*\): /\1\t/p' Makefile | expand -t 16
