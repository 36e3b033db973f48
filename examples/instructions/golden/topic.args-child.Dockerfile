# target.topic["args-child"], written by hbuild: change the HCL files, not this one.

# ARG after FROM. The same variable may be used in several stages, and a stage
# built on this one inherits its arguments.
FROM alpine:3.22 AS args
ARG RELEASE=1.0
ARG CHANNEL=$RELEASE-beta
ARG TARGETARCH
ARG UNSET
RUN echo "$RELEASE $CHANNEL $TARGETARCH ${UNSET-unset}" > /args.txt
# An ARG further down.
ARG CHANNEL=stable
RUN echo "$CHANNEL" >> /args.txt
CMD ["cat", "/args.txt"]

FROM args AS args_child
RUN echo "child: $RELEASE $CHANNEL" >> /args.txt
