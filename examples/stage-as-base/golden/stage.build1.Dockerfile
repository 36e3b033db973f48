# stage.build1, written by hbuild: change the HCL files, not this one.

FROM debian:bookworm AS builder
RUN apt-get update && \
  apt-get install -y --no-install-recommends gcc g++ libc6-dev && \
  rm -rf /var/lib/apt/lists/*
# Stages built on this one start with these too.
ENV CXXFLAGS="-O2 -static -s"
WORKDIR /src

FROM builder AS build1
COPY source1.cpp source.cpp
RUN g++ $CXXFLAGS -o /binary source.cpp
