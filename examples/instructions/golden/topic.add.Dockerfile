# target.topic["add"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS add
# ADD unpacks a local archive ...
ADD files/bundle.tar.gz /opt/
# ... and COPY does not.
COPY files/bundle.tar.gz /opt/packed/
CMD ["/opt/bundle/hello.sh"]
