# target.topic["metadata-none"], written by hbuild: change the HCL files, not this one.

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

# HEALTHCHECK NONE.
FROM metadata AS metadata_none
HEALTHCHECK NONE
