# Every Dockerfile instruction, in every form it has. One stage a topic; the
# README has the table from instruction to block.
# hbuild: allow HB7010 HB7014 the forms that are warned of are forms all the same

# ARG before FROM: a variable. It is there for every stage and every attribute.
variable "alpine_version" {
  type    = string
  default = "3.22"
}

variable "release" {
  type    = string
  default = "1.0"
}

# FROM with a name for its image: a local.
locals {
  alpine = image("alpine:${var.alpine_version}")
  debian = image("debian:bookworm")
}

context "default" {
  include = ["files/**"]
}

cache "scratchpad" {}

# ---- RUN -------------------------------------------------------------------

stage "run" {
  from = local.debian

  # Shell form: a string, given to the shell.
  run { command = "echo \"shell form: $((6 * 7))\" > /run.txt" }

  # Exec form: a list. No shell, so nothing is expanded.
  run { command = ["sed", "-i", "$ a exec form: $((6 * 7))", "/run.txt"] }

  # A backslash at a line's end joins two lines.
  run {
    command = <<-EOT
      echo "joined" \
        "lines" >> /run.txt
    EOT
  }

  # Without it the shell gets the lines as they are.
  run {
    command = <<-EOT
      for word in several lines; do
        echo "$word" >> /run.txt
      done
    EOT
  }

  # A script says on its first line what interprets it.
  run {
    script = <<-EOT
      #!/usr/bin/perl
      use strict;
      open(my $file, '>>', '/run.txt') or die "run.txt: $!";
      print $file "perl: @{[ join ', ', map { $_ ** 2 } 1 .. 4 ]}\n";
    EOT
  }

  cmd = ["cat", "/run.txt"]
}

# RUN --mount and RUN --network.
stage "run_options" {
  from = local.alpine

  run {
    command = "cat /context/files/home.txt /files/hom1.txt > /mounts.txt"
    mounts = {
      "/context" = context.default
      "/files"   = mount(context.default, { source = "files" })
    }
  }
  run {
    command = "grep -q ' /scratch tmpfs ' /proc/mounts && echo tmpfs >> /mounts.txt"
    mounts  = { "/scratch" = tmpfs({ size = "16m" }) }
  }
  run {
    command = "stat -c 'cache: mode %a, uid %u' /cache >> /mounts.txt"
    mounts = {
      "/cache" = mount(cache.scratchpad, { sharing = "locked", mode = "0700", uid = 1000 })
    }
  }
  run {
    command = "echo \"routes: $(tail -n +2 /proc/net/route | wc -l)\" >> /mounts.txt"
    network = "none"
  }

  cmd = ["cat", "/mounts.txt"]
}

# ---- COPY ------------------------------------------------------------------

stage "copy" {
  from    = local.debian
  workdir = "/work"

  # Wildcards. A destination ending in / is a directory.
  copy {
    src  = "files/hom*.txt"
    dest = "/star/"
  }
  copy {
    src  = "files/hom?.txt"
    dest = "question/"
  }

  # Brackets are wildcards too, so the name arr[0].txt is written so:
  copy {
    src  = "files/arr[[]0].txt"
    dest = "/brackets/"
  }

  # Spaces need no care, and a list is several sources of one instruction.
  copy { files = { "/a dir/" = "files/with space.txt" } }
  copy { files = { "/list/" = ["files/home.txt", "files/hom1.txt"] } }

  # --chown: a user, a user and a group, by name and by number.
  copy {
    src   = "files/home.txt"
    dest  = "/owner/name.txt"
    chown = "bin"
  }
  copy {
    src   = "files/home.txt"
    dest  = "/owner/names.txt"
    chown = "bin:www-data"
  }
  copy {
    src   = "files/home.txt"
    dest  = "/owner/number.txt"
    chown = "1"
  }
  copy {
    src   = "files/home.txt"
    dest  = "/owner/numbers.txt"
    chown = "10:11"
  }
  copy {
    src   = "files/home.txt"
    dest  = "/owner/both.txt"
    chown = "55:games"
  }

  # --chmod, in both spellings.
  copy {
    src   = "files/home.txt"
    dest  = "/mode/octal.txt"
    chmod = "0640"
  }
  copy {
    src   = "files/home.txt"
    dest  = "/mode/symbolic.txt"
    chmod = "u=rwx,go=r"
  }

  # --parents keeps the directories below /./, --exclude leaves files out.
  copy {
    src     = "files/tree/./docs"
    dest    = "/parents/"
    parents = true
    exclude = ["**/*.md"]
  }

  # --link: a layer that does not depend on those before it.
  copy {
    src  = "files/home.txt"
    dest = "/link/home.txt"
    link = true
  }

  # A file written here: COPY with a heredoc.
  write {
    path    = "/etc/greeting"
    chmod   = "0600"
    content = <<-EOT
      Hello from $HOME
    EOT
  }
  write {
    path    = "/etc/greeting-expanded"
    expand  = true
    content = "Working in $${PWD:-an unset directory}\n"
  }

  cmd = ["sh", "-c", "cat /star/* question/* /brackets/* '/a dir/with space.txt' /etc/greeting"]
}

# ---- ADD -------------------------------------------------------------------

stage "add" {
  from = local.alpine

  # ADD unpacks a local archive ...
  copy {
    src    = "files/bundle.tar.gz"
    dest   = "/opt/"
    unpack = true
  }

  # ... and COPY does not.
  copy {
    src  = "files/bundle.tar.gz"
    dest = "/opt/packed/"
  }

  cmd = ["/opt/bundle/hello.sh"]
}

# ---- ENTRYPOINT and CMD ----------------------------------------------------

# A string is the shell form, a list the exec form, null inherits.
locals {
  commands = {
    cmd-shell        = { entrypoint = null, cmd = "echo \"cmd, shell form: $((6 * 7))\"" }
    cmd-exec         = { entrypoint = null, cmd = ["echo", "cmd, exec form: $((6 * 7))"] }
    entrypoint-shell = { entrypoint = "echo entrypoint, shell form", cmd = ["never", "read"] }
    entrypoint-exec  = { entrypoint = ["echo", "entrypoint, exec form"], cmd = null }
    exec-exec        = { entrypoint = ["echo", "entrypoint"], cmd = ["and", "cmd"] }
    exec-shell       = { entrypoint = ["echo", "entrypoint, then:"], cmd = "a shell line" }
  }
}

stage "command" {
  for_each   = local.commands
  from       = local.alpine
  entrypoint = each.value.entrypoint
  cmd        = each.value.cmd
}

# A new entrypoint forgets the cmd it inherits ...
stage "new_entrypoint" {
  from       = stage.command["exec-exec"]
  entrypoint = ["echo", "new entrypoint"]
}

# ... and an empty one clears both.
stage "no_entrypoint" {
  from       = stage.command["exec-exec"]
  entrypoint = []
  cmd        = ["echo", "no entrypoint"]
}

# ---- ENV -------------------------------------------------------------------

stage "env" {
  from = local.alpine
  env = {
    MY_NAME = "John Doe"
    MY_DOG  = "Rex \"The Dog\" O'Hara"
    MY_PATH = "C:\\dogs"
    PRICE   = "\\$5"
    PATH    = "/opt/tools/bin:$PATH"
    ABC     = "hello"
  }

  # Each entry sees those before it: DEF is still hello, GHI already bye.
  set {
    env = {
      DEF = "$ABC"
      ABC = "bye"
      GHI = "$ABC"
      JKL = "$${NOT_SET:-a default} and $${ABC:+set}"
    }
  }
  run {
    command = <<-EOT
      printf '%s\n' "$MY_NAME" "$MY_DOG" "$MY_PATH" "$PRICE" "$DEF" "$GHI" "$JKL" > /env.txt
    EOT
  }

  cmd = ["cat", "/env.txt"]
}

# ---- ARG -------------------------------------------------------------------

# ARG after FROM. The same variable may be used in several stages, and a stage
# built on this one inherits its arguments.
stage "args" {
  from = local.alpine
  args = {
    RELEASE    = var.release
    CHANNEL    = "$RELEASE-beta"
    TARGETARCH = platform.target.arch
    UNSET      = null
  }

  run { command = "echo \"$RELEASE $CHANNEL $TARGETARCH $${UNSET-unset}\" > /args.txt" }

  # An ARG further down.
  set { args = { CHANNEL = "stable" } }
  run { command = "echo \"$CHANNEL\" >> /args.txt" }

  cmd = ["cat", "/args.txt"]
}

stage "args_child" {
  from = stage.args

  run { command = "echo \"child: $RELEASE $CHANNEL\" >> /args.txt" }
}

# Another stage: ARG again, or it is not there.
stage "args_other" {
  from = local.alpine

  run { command = "echo \"before: $${RELEASE-unset}\" > /args.txt" }
  set { args = { RELEASE = var.release } }
  run { command = "echo \"after: $RELEASE\" >> /args.txt" }

  cmd = ["cat", "/args.txt"]
}

# ---- LABEL EXPOSE VOLUME STOPSIGNAL HEALTHCHECK MAINTAINER -----------------

stage "metadata" {
  from   = local.alpine
  author = "Jane Doe <jane@example.com>"
  labels = {
    "com.example.vendor"  = "ACME Incorporated"
    "com.example.release" = var.release
    "com.example.quoted"  = "a \"quoted\" word and a \\ backslash"
    description           = "Labels may have spaces"
  }
  expose      = [80, "443/tcp", "53/udp", "9000-9002"]
  volumes     = ["/data", "/var/log/app"]
  stop_signal = "SIGQUIT"
  healthcheck = {
    command      = ["/bin/test", "-d", "/data"]
    interval     = "30s"
    timeout      = "3s"
    start_period = "1m30s"
    retries      = 5
  }
}

# HEALTHCHECK with a shell line; STOPSIGNAL by number; a label replaced.
stage "metadata_shell" {
  from        = stage.metadata
  labels      = { description = "Replaced" }
  stop_signal = "9"
  healthcheck = { command = "test -d /data || exit 1" }
}

# HEALTHCHECK NONE.
stage "metadata_none" {
  from        = stage.metadata
  healthcheck = "none"
}

# ---- WORKDIR ---------------------------------------------------------------

stage "workdir" {
  from    = local.alpine
  env     = { BASE = "/a" }
  workdir = "$BASE"

  # Relative ones continue from the one before, and are created.
  set { workdir = "b" }
  set { workdir = "c d" }
  run { command = "pwd > pwd.txt" }
  set { workdir = "../e" }

  cmd = "pwd && cat '../c d/pwd.txt'"
}

# ---- USER ------------------------------------------------------------------

stage "user" {
  from = local.debian

  run {
    command = <<-EOT
      groupadd --gid 4242 staff-app && \
        useradd --uid 4243 --gid staff-app --create-home app
    EOT
  }
  set { user = "app" }
  run { command = "id -un > /home/app/id.txt" }

  # By number, and with a group that is not the user's own.
  set { user = "4243:100" }
  run { command = "id -g >> /home/app/id.txt" }

  set {
    workdir = "/home/app"
    user    = "app:staff-app"
  }

  cmd = "cat id.txt && id -un && id -gn"
}

# ---- SHELL -----------------------------------------------------------------

stage "shell" {
  from  = local.debian
  shell = ["/bin/bash", "-o", "pipefail", "-c"]

  # Braces are bash's.
  run { command = "echo bash: {1..3} > /shell.txt" }
  run { command = "! (false | true)" }

  # Another one from here on; CMD's shell form uses it too.
  set { shell = ["/bin/sh", "-e", "-c"] }
  run { command = "echo sh: {1..3} >> /shell.txt" }

  cmd = "cat /shell.txt; false; echo unreachable"
}

# ---- ONBUILD ---------------------------------------------------------------

stage "onbuild_base" {
  from = local.alpine

  onbuild = [
    "COPY files/home.txt /app/",
    "RUN sha256sum < /app/home.txt > /app/home.sum",
  ]
}

# The two instructions run here, before anything of this stage.
stage "onbuild" {
  from = stage.onbuild_base

  run { command = "cp /app/home.txt /app/copy.txt" }

  cmd = ["cat", "/app/copy.txt", "/app/home.sum"]
}

# ---- what to build ---------------------------------------------------------

target "topic" {
  for_each = {
    run            = stage.run
    run-options    = stage.run_options
    copy           = stage.copy
    add            = stage.add
    new-entrypoint = stage.new_entrypoint
    no-entrypoint  = stage.no_entrypoint
    env            = stage.env
    args           = stage.args
    args-child     = stage.args_child
    args-other     = stage.args_other
    metadata       = stage.metadata
    metadata-shell = stage.metadata_shell
    metadata-none  = stage.metadata_none
    workdir        = stage.workdir
    user           = stage.user
    shell          = stage.shell
    onbuild-base   = stage.onbuild_base
    onbuild        = stage.onbuild
  }
  image = each.value
  tags  = ["instructions:${each.key}"]
}

target "command" {
  for_each = stage.command
  image    = each.value
  tags     = ["instructions:${each.key}"]
}

group "default" {
  targets = [target.topic, target.command]
}
