#!/bin/sh
# wrk asks the real servers of the uvicorn rows: this gets it where it is missing and can be had. Without it those rows are left out.
command -v wrk >/dev/null 2>&1 && exit 0
root=""
[ "$(id -u)" -eq 0 ] || root="sudo -n"
if command -v apt-get >/dev/null 2>&1 && { [ -z "$root" ] || $root true 2>/dev/null; }; then
  echo "getting wrk from this machine's packages"
  $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends wrk >/dev/null
elif command -v brew >/dev/null 2>&1; then
  brew install --quiet wrk
fi
command -v wrk >/dev/null 2>&1 || echo "wrk is missing: the rows that need it are left out" >&2
exit 0
