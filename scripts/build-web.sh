#!/bin/sh
# Builds the browser app into web/dist when something that goes into it is newer. Folders are looked at too, so that a
# file that was taken away counts.
set -eu
cd "$(dirname "$0")/.."
built=web/dist/index.html
if [ -e "$built" ]; then
	newer=$(find web src/contract src/model src/events src/core package-lock.json \
		-path web/dist -prune -o -newer "$built" -print)
	[ -n "$newer" ] || exit 0
fi
echo "Building the browser app"
npm run --silent web
