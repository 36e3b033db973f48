# target.topic["shell"], written by hbuild: change the HCL files, not this one.

FROM debian:bookworm AS shell
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
# Braces are bash's.
RUN echo bash: {1..3} > /shell.txt
RUN ! (false | true)
# Another one from here on; CMD's shell form uses it too.
SHELL ["/bin/sh", "-e", "-c"]
RUN echo sh: {1..3} >> /shell.txt
CMD cat /shell.txt; false; echo unreachable
