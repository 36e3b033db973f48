# target.topic["env"], written by hbuild: change the HCL files, not this one.

FROM alpine:3.22 AS env
ENV MY_NAME="John Doe" \
    MY_DOG="Rex \"The Dog\" O'Hara" \
    MY_PATH="C:\\dogs" \
    PRICE="\$5" \
    PATH=/opt/tools/bin:$PATH \
    ABC=hello
# Each entry sees those before it: DEF is still hello, GHI already bye.
ENV DEF=$ABC \
    ABC=bye
ENV GHI=$ABC \
    JKL="${NOT_SET:-a default} and ${ABC:+set}"
RUN printf '%s\n' "$MY_NAME" "$MY_DOG" "$MY_PATH" "$PRICE" "$DEF" "$GHI" "$JKL" > /env.txt
CMD ["cat", "/env.txt"]
