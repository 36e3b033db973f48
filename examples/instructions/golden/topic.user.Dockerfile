# target.topic["user"], written by hbuild: change the HCL files, not this one.

FROM debian:bookworm AS user
RUN groupadd --gid 4242 staff-app && \
  useradd --uid 4243 --gid staff-app --create-home app
USER app
RUN id -un > /home/app/id.txt
# By number, and with a group that is not the user's own.
USER 4243:100
RUN id -g >> /home/app/id.txt
WORKDIR /home/app
USER app:staff-app
CMD cat id.txt && id -un && id -gn
