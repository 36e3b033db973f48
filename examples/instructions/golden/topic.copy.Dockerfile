# target.topic["copy"], written by hbuild: change the HCL files, not this one.

FROM debian:bookworm AS copy
WORKDIR /work
# Wildcards. A destination ending in / is a directory.
COPY files/hom*.txt /star/
COPY files/hom?.txt question/
# Brackets are wildcards too, so the name arr[0].txt is written so:
COPY files/arr[[]0].txt /brackets/
# Spaces need no care, and a list is several sources of one instruction.
COPY ["\"files/with space.txt\"", "\"/a dir/\""]
COPY files/home.txt files/hom1.txt /list/
# --chown: a user, a user and a group, by name and by number.
COPY --chown=bin files/home.txt /owner/name.txt
COPY --chown=bin:www-data files/home.txt /owner/names.txt
COPY --chown=1 files/home.txt /owner/number.txt
COPY --chown=10:11 files/home.txt /owner/numbers.txt
COPY --chown=55:games files/home.txt /owner/both.txt
# --chmod, in both spellings.
COPY --chmod=0640 files/home.txt /mode/octal.txt
COPY --chmod=u=rwx,go=r files/home.txt /mode/symbolic.txt
# --parents keeps the directories below /./, --exclude leaves files out.
COPY --parents --exclude=**/*.md files/tree/./docs /parents/
# --link: a layer that does not depend on those before it.
COPY --link files/home.txt /link/home.txt
# A file written here: COPY with a heredoc.
COPY --chmod=0600 <<"EOF" /etc/greeting
Hello from $HOME
EOF
COPY <<EOF /etc/greeting-expanded
Working in ${PWD:-an unset directory}
EOF
CMD ["sh", "-c", "cat /star/* question/* /brackets/* '/a dir/with space.txt' /etc/greeting"]
