# target.config, written by hbuild: change the HCL files, not this one.

# A copy from an image that is no stage of this file.
FROM scratch AS config
COPY --from=nginx:latest /etc/nginx/nginx.conf /nginx.conf

FROM scratch AS config-files
COPY --from=config /nginx.conf /out/nginx.conf
