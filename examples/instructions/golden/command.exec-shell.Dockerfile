# target.command["exec-shell"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS command-exec-shell
ENTRYPOINT ["echo", "entrypoint, then:"]
CMD a shell line
