# target.topic["new-entrypoint"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS command-exec-exec
ENTRYPOINT ["echo", "entrypoint"]
CMD ["and", "cmd"]

# A new entrypoint forgets the cmd it inherits ...
FROM command-exec-exec AS new_entrypoint
ENTRYPOINT ["echo", "new entrypoint"]
