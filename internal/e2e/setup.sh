#!/bin/sh
# Installs the Node packages of the black-box tests, if they are not there yet or the lock file has changed. What is missing for that it says, and ends with 1.
set -eu
cd "$(dirname "$0")/node"

command -v npm >/dev/null 2>&1 || { echo "npm is not installed: install nodejs and npm, or run .ci/prepare as root" >&2; exit 1; }
want=$(cksum <package-lock.json)
mark=node_modules/.installed

current() { [ -f "$mark" ] && [ "$(cat "$mark")" = "$want" ]; }

if current; then exit 0; fi
if command -v flock >/dev/null 2>&1; then
	exec 9<package-lock.json
	flock 9 # tests of several packages come here at the same time
	if current; then exit 0; fi
fi
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
echo "$want" >"$mark"
