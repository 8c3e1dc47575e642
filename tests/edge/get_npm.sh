#!/bin/sh
# make test-edge runs others' programs from npm: this gets Node where it is missing, then the packages that package.json pins, into
# node_modules beside it. No lock file: it would name the registry of the machine it was made on.
set -eu
cd "$(dirname "$0")"

if ! command -v npm >/dev/null 2>&1; then
  root=""
  [ "$(id -u)" -eq 0 ] || root="sudo -n"
  if command -v apt-get >/dev/null 2>&1 && { [ -z "$root" ] || $root true 2>/dev/null; }; then
    echo "getting node and npm from this machine's packages"
    $root apt-get update -qq && $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
  elif command -v brew >/dev/null 2>&1; then
    brew install --quiet node
  fi
fi
if ! command -v npm >/dev/null 2>&1; then
  echo "npm is missing. Install Node 18 or newer and try again:" >&2
  echo "  Debian, Ubuntu:  sudo apt-get install nodejs npm" >&2
  echo "  Fedora:          sudo dnf install nodejs npm" >&2
  echo "  macOS:           brew install node" >&2
  exit 1
fi

# Install scripts are left out: they only move binaries about.
npm install --no-package-lock --no-audit --no-fund --ignore-scripts --loglevel=error
touch node_modules
