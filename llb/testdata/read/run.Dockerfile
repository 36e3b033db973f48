FROM debian AS build
RUN ["a", "b\nc"]
RUN a && \
    b # not a comment \
# a comment

    c
RUN <<EOF
one
	two
EOF
RUN <<-END
	one
	END
RUN <<EOF
#!/usr/bin/python
x
EOF
RUN cat <<A > /a && cat <<"B" > /b
$x
A
y
B
RUN -- --flag
RUN --network=none --security=insecure --device=vendor.com/x=y,required x
RUN --mount=type=cache,target=/c --mount=type=cache,id=a/b,dst=/d,sharing=locked,ro,uid=1,gid=2,mode=0700 --mount=target=/ctx,rw --mount=type=bind,src=x/y,destination=z x
FROM alpine AS app
RUN --mount=type=cache,from=build,source=/x,target=/y --mount=from=build,target=/z,ro=false --mount=from=busybox,target=/b --mount=type=tmpfs,target=/t,size=1g x
RUN --mount=type=secret,id=s --mount=type=secret,target=/x/y,required --mount=type=secret,source=z,env=Z --mount=type=ssh --mount=type=ssh,id=k,target=/s,mode=0600,required=false x
RUN --mount="type=cache,target=/a b" "--mount=type=cache,\"target=/c,d\"" x
COPY --from=0 /a /b
COPY --from=build --chown=a:b --chmod=644 --link /a* /b/
