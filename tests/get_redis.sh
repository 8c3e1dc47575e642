#!/bin/sh
# The tests start Redis servers of their own, on free loopback ports: this gets the program where it is missing. faketime comes with
# it, for the tests in which application clocks disagree.
set -eu
missing=""
command -v redis-server >/dev/null 2>&1 || missing="redis-server"
command -v faketime >/dev/null 2>&1 || missing="$missing faketime"
[ -n "$missing" ] || exit 0

root=""
[ "$(id -u)" -eq 0 ] || root="sudo -n"
if command -v apt-get >/dev/null 2>&1 && { [ -z "$root" ] || $root true 2>/dev/null; }; then
  echo "getting $missing from this machine's packages"
  # RUNLEVEL=1: installed, not started as a service.
  $root apt-get update -qq && $root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
elif command -v brew >/dev/null 2>&1; then
  brew install --quiet redis libfaketime
fi
if ! command -v redis-server >/dev/null 2>&1; then
  echo "redis-server (7.0 or newer) is missing. Install it and try again:" >&2
  echo "  Debian, Ubuntu:  sudo apt-get install redis-server faketime" >&2
  echo "  Fedora:          sudo dnf install redis libfaketime" >&2
  echo "  Alpine:          sudo apk add redis libfaketime" >&2
  echo "  macOS:           brew install redis libfaketime" >&2
  exit 1
fi
