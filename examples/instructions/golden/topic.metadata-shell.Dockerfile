# target.topic["metadata-shell"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS metadata
LABEL com.example.vendor="ACME Incorporated" \
      com.example.release=1.0 \
      com.example.quoted="a \"quoted\" word and a \\ backslash" \
      description="Labels may have spaces"
MAINTAINER Jane Doe <jane@example.com>
EXPOSE 80 443/tcp 53/udp 9000-9002
VOLUME /data /var/log/app
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=30s --timeout=3s --start-period=1m30s --retries=5 \
            CMD ["/bin/test", "-d", "/data"]

# HEALTHCHECK with a shell line; STOPSIGNAL by number; a label replaced.
FROM metadata AS metadata_shell
LABEL description=Replaced
STOPSIGNAL 9
HEALTHCHECK CMD test -d /data || exit 1
