# target.topic["args-other"], written by hbuild: change the HCL files, not this one.

# Another stage: ARG again, or it is not there.
FROM alpine:3.22 AS args_other
RUN echo "before: ${RELEASE-unset}" > /args.txt
ARG RELEASE=1.0
RUN echo "after: $RELEASE" >> /args.txt
CMD ["cat", "/args.txt"]
