# hbuild: allow HB7007 any nginx has the file

# The image is named once; nothing of it is run, only files are taken from it.
locals {
  nginx = image("nginx:latest")
}

# A copy from an image that is no stage of this file.
stage "config" {
  from = scratch

  copy {
    from = local.nginx
    src  = "/etc/nginx/nginx.conf"
    dest = "/nginx.conf"
  }
}

artifact "nginx_conf" {
  from = stage.config
  path = "/nginx.conf"
}

# The same image as a read-only mount: a step reads it, no layer keeps it.
stage "viewer" {
  from = image("alpine:3.22")

  run {
    command = "grep -v -E '^[[:space:]]*(#|$)' /mnt/nginx/etc/nginx/nginx.conf > /plain.conf"
    mounts  = { "/mnt/nginx" = local.nginx }
  }
  copy { files = { "/nginx.conf" = artifact.nginx_conf } }

  cmd = ["cat", "/plain.conf"]
}

target "viewer" {
  description = "Prints nginx's default configuration without comments"
  image       = stage.viewer
  tags        = ["nginx-config-viewer:latest"]
}

target "config" {
  description = "nginx's default configuration, to start one's own from"
  files       = { "out/nginx.conf" = artifact.nginx_conf }
}

group "default" {
  targets = [target.viewer, target.config]
}
