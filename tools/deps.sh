#!/bin/sh
# deps.sh [check] - installs what building, or building and testing, needs
# and this machine lacks.
# Debian (and its relatives) only: elsewhere it prints the list.
set -eu

need="gcc make flex bison protobuf-c-compiler libprotobuf-c-dev check
      pkg-config zlib1g-dev liblapacke-dev libc6-dev clang"
# the boards of --verify --target
[ "${1:-}" != check ] || need="$need gcc-arm-none-eabi
      libnewlib-arm-none-eabi qemu-system-arm"

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "deps: not a Debian system; these packages are needed:" $need
    exit 0
fi
missing=
for p in $need; do
    s=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null || true)
    [ "$s" = installed ] || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo=sudo
    command -v sudo >/dev/null 2>&1 || {
        echo "deps: missing$missing; run as root: apt-get install$missing" >&2
        exit 1
    }
fi
echo "deps: installing$missing${sudo:+ (with sudo)}"
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
    --no-install-recommends $missing >/dev/null
