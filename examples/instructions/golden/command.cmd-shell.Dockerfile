# target.command["cmd-shell"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS command-cmd-shell
CMD echo "cmd, shell form: $((6 * 7))"
