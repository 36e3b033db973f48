# target.topic["onbuild-base"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS onbuild_base
ONBUILD COPY files/home.txt /app/
ONBUILD RUN sha256sum < /app/home.txt > /app/home.sum
