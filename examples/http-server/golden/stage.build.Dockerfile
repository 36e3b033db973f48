# stage.build, written by hbuild: change the HCL files, not this one.

# Compiles the server with the whole Go toolchain at hand.
FROM golang:1.26 AS build
ARG CGO_ENABLED=0
ARG VERSION=dev
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=gobuild,target=/root/.cache/go-build \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/server .
