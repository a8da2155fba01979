#!/bin/sh
# Unit tests: no process for each file, and one half on each of two cores.
set -u
half() {
	node --test --test-isolation=none --test-force-exit --test-reporter=dot --test-shard="$1/2" \
		"src/**/*.test.ts" "test/*.test.ts"
}
half 1 &
half 2
second=$?
wait $! && exit $second
exit 1
