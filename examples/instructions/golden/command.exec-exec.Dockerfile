# target.command["exec-exec"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS command-exec-exec
ENTRYPOINT ["echo", "entrypoint"]
CMD ["and", "cmd"]
