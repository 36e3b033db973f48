FROM debian AS base
ENV A 1 2 3
ENV B="x y" C=a\ b D='$A' E=$A
LABEL a=b "c d"="e \"f\""
ARG F G=1 H="$G x"
SHELL ["/bin/bash", "-c"]
WORKDIR a/$G
USER "us er":1
EXPOSE 80/tcp 81-82
VOLUME /a "/b" c
VOLUME ["/d e", "/f"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=1m --retries=3 CMD curl x || exit 1
HEALTHCHECK CMD ["a", "b c"]
MAINTAINER some  body
ENTRYPOINT exec top -b
CMD ["x"]
ONBUILD RUN a \
   b
FROM base
RUN b
