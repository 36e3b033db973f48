# escape=`
FROM debian
ENV A=C:\x B=a` b C="`"" D='`' E="a`b\c"
RUN a `
  b\
COPY a`x /c\d/
WORKDIR /a\b`$c
LABEL x=`$A
USER "a`"b\"
