# Processes in the background, by name: each has a log and a pid file, and is ended by its pid alone.

say() { echo "cluster: $*" >&2; }
die() { say "$*"; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die 'namespaces and mounts need root'; }

# pid_of NAME
pid_of() { cut -d' ' -f1 "$DIR/pid/$1"; }

# When a process began, in ticks: with the pid it names one process, also after a restart of the machine.
began() { awk '{print $22}' "/proc/$1/stat" 2>/dev/null; }

# is_running NAME
is_running() {
  local pid ticks
  { read -r pid ticks <"$DIR/pid/$1"; } 2>/dev/null && [ "$(began "$pid")" = "$ticks" ]
}

# run_bg NAME COMMAND...: unless it runs already
run_bg() {
  local name=$1
  shift
  is_running "$name" && return 0
  mkdir -p "$DIR/log" "$DIR/pid"
  setsid "$@" >>"$DIR/log/$name.log" 2>&1 </dev/null &
  echo "$! $(began $!)" >"$DIR/pid/$name"
}

# stop NAME...: all of them are asked, then waited for two seconds, then killed
stop() {
  local name left
  for name in "$@"; do is_running "$name" && kill "$(pid_of "$name")" 2>/dev/null || true; done
  for _ in $(seq 20); do
    left=
    for name in "$@"; do is_running "$name" && left=1; done
    [ -z "$left" ] && break
    sleep 0.1
  done
  for name in "$@"; do
    is_running "$name" && kill -9 "$(pid_of "$name")" 2>/dev/null || true
    rm -f "$DIR/pid/$name"
  done
}

# await SECONDS COMMAND...: until it succeeds
await() {
  local tries=$(($1 * 5))
  shift
  for _ in $(seq "$tries"); do
    "$@" >/dev/null 2>&1 && return 0
    sleep 0.2
  done
  return 1
}
