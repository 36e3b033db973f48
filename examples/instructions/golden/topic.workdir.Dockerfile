# target.topic["workdir"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS workdir
ENV BASE=/a
WORKDIR $BASE
# Relative ones continue from the one before, and are created.
WORKDIR b
WORKDIR "c d"
RUN pwd > pwd.txt
WORKDIR ../e
CMD pwd && cat '../c d/pwd.txt'
