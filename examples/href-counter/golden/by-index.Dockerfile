# target.by-index, written by hbuild: change the HCL files, not this one.

FROM golang:1.26 AS build
ARG CGO_ENABLED=0
WORKDIR /src
# The dependencies first: they change less often than the program.
COPY go.mod go.sum ./
RUN --mount=type=cache,id=gomod,target=/go/pkg/mod \
    go mod download
COPY *.go ./
RUN --mount=type=cache,id=gomod,target=/go/pkg/mod \
    --mount=type=cache,id=gobuild,target=/root/.cache/go-build \
    go build -trimpath -ldflags '-s -w' -o /out/href-counter .

# What both images below start from: certificates for https pages, and a page to try.
FROM alpine:3.22 AS base
WORKDIR /app
RUN apk add --no-cache ca-certificates
COPY sample.html ./

# A Dockerfile may also count its stages: COPY --from=0. Here a stage is always
# named, so that adding one above it cannot change what is copied.
FROM base AS runtime_by_index
COPY --from=build /out/href-counter ./
ENTRYPOINT ["./href-counter"]
CMD ["sample.html"]
