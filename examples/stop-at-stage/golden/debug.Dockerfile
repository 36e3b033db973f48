# target.debug, written by hbuild: change the HCL files, not this one.

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

# The binary a debugger likes, and a chatty program.
FROM alpine:3.22 AS debug
ENV GREET_DEBUG=1
COPY --from=builder /out/debug/greet /usr/local/bin/greet
ENTRYPOINT ["greet"]
