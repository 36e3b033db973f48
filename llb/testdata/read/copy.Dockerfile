FROM debian
ARG V=x
COPY a b* [c] $V/ dir/
COPY ["a b", "$V", "c d/"]
COPY --parents --exclude=*.md --exclude="a b" a/./b c d/
COPY <<a <<"b" c.txt /x/
$V "q" \$
a
$V
b
ADD a.tar /
ADD --unpack=false a.tar /
ADD https://example.com/a.tgz https://example.com/b /x/
ADD --checksum=sha256:24454f830cdb571e2c4ad15481119c43b3cafd48dd869a9b2945d1036d1dc68d --unpack https://example.com/c.tgz /x
ADD --keep-git-dir=true https://github.com/moby/buildkit.git#v0.33.1 /git
