# target.topic["onbuild"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS onbuild_base
ONBUILD COPY files/home.txt /app/
ONBUILD RUN sha256sum < /app/home.txt > /app/home.sum

# The two instructions run here, before anything of this stage.
FROM onbuild_base AS onbuild
RUN cp /app/home.txt /app/copy.txt
CMD ["cat", "/app/copy.txt", "/app/home.sum"]
