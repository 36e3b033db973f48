# target.command["cmd-exec"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS command-cmd-exec
CMD ["echo", "cmd, exec form: $((6 * 7))"]
