# target.topic["no-entrypoint"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS command-exec-exec
ENTRYPOINT ["echo", "entrypoint"]
CMD ["and", "cmd"]

# ... and an empty one clears both.
FROM command-exec-exec AS no_entrypoint
ENTRYPOINT []
CMD ["echo", "no entrypoint"]
