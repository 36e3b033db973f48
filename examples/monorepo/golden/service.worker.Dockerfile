# target.service["worker"], written by hbuild: change the HCL files, not this one.

# What all services are compiled with: Go, the module's dependencies and the
# packages they share.
FROM golang:1.26 AS toolchain
ARG CGO_ENABLED=0
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,id=gomod,target=/go/pkg/mod \
    go mod download
COPY internal internal/

# A service sees its own sources only: a change in one compiles one.
FROM toolchain AS build-worker
ARG SERVICE=worker
COPY services/worker services/worker/
RUN --mount=type=cache,id=gomod,target=/go/pkg/mod \
    --mount=type=cache,id=gobuild,target=/root/.cache/go-build \
    go build -trimpath -ldflags '-s -w' -o /out/service ./services/$SERVICE

FROM scratch AS runtime-worker
USER 65532
COPY --from=build-worker /out/service /worker
ENTRYPOINT ["/worker"]
