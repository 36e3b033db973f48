# target.command["entrypoint-exec"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS command-entrypoint-exec
ENTRYPOINT ["echo", "entrypoint, exec form"]
