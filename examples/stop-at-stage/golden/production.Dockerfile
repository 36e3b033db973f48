# target.production, written by hbuild: change the HCL files, not this one.

# hbuild build stage.builder stops here, with the toolchain and the sources.
FROM golang:1.26 AS builder
ARG CGO_ENABLED=0
WORKDIR /src
COPY . .
RUN --mount=type=cache,id=gobuild,target=/root/.cache/go-build \
    go test ./...
RUN --mount=type=cache,id=gobuild,target=/root/.cache/go-build \
    go build -trimpath -ldflags '-s -w' -o /out/release/greet . && \
  go build -gcflags 'all=-N -l' -o /out/debug/greet .

FROM alpine:3.22 AS production
COPY --from=builder /out/release/greet /usr/local/bin/greet
ENTRYPOINT ["greet"]
