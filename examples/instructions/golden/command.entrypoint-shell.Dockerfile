# target.command["entrypoint-shell"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS command-entrypoint-shell
ENTRYPOINT echo entrypoint, shell form
CMD ["never", "read"]
