# target.topic["run-options"], written by hbuild: change the HCL files, not this one.

# RUN --mount and RUN --network.
FROM alpine:3.22 AS run_options
RUN --mount=type=bind,target=/context \
    --mount=type=bind,source=files,target=/files \
    cat /context/files/home.txt /files/hom1.txt > /mounts.txt
RUN --mount=type=tmpfs,target=/scratch,size=16m \
    grep -q ' /scratch tmpfs ' /proc/mounts && echo tmpfs >> /mounts.txt
RUN --mount=type=cache,id=scratchpad,target=/cache,sharing=locked,mode=0700,uid=1000 \
    stat -c 'cache: mode %a, uid %u' /cache >> /mounts.txt
RUN --network=none \
    echo "routes: $(tail -n +2 /proc/net/route | wc -l)" >> /mounts.txt
CMD ["cat", "/mounts.txt"]
