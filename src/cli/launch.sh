# Read by bin/teleport, bin/tctl and bin/tsh: starts $tool of the checkout $root with the Node that the project brought along.
node=$root/node_modules/.bin/node
if [ ! -x "$node" ]; then
  if [ ! -d "$root/node_modules" ]; then
    echo "error: the packages that $tool needs are not installed; run: make -C $root deps" >&2
    exit 1
  fi
  # No Node package for this kind of machine: its own will do when it is new enough to run TypeScript.
  node=$(command -v node) && "$node" -e 'process.exit(parseInt(process.versions.node) >= 24 ? 0 : 1)' || {
    echo "error: $tool needs Node 24 or newer, and this machine has ${node:-none}; install it or run: make -C $root deps" >&2
    exit 1
  }
fi
# Bulk data passes through buffers outside the heap. By default V8 marks the whole heap for each few megabytes of them, and hands
# their release to other threads, which costs twice what all the rest of a transfer does (npm run bench -- bulk; --trace-gc). With
# the small limit that a small heap gets, whether it marks at every turn is a matter of chance: the limit begins at 128 MB.
# An idle daemon has V8 look for garbage (src/daemon/idle-memory.ts). Only where there is bulk to carry: with such settings V8 does not take
# the compiled code that Node brings along, and each start compiles Node's own modules anew, which is 30 ms of `tsh ls`. The sizes of the young
# generation are no such settings: a list of ten thousand nodes is made and written in 64 MB without a look for garbage.
case "$tool $*" in
teleport*) bulk="--external-memory-accounted-in-global-limit --initial-old-space-size=128 --expose-gc" young=16 ;;
*ssh* | *scp*) bulk="--external-memory-accounted-in-global-limit --initial-old-space-size=128" young=16 ;;
*ls* | *get*) bulk= young=64 ;;
*) bulk= young=16 ;;
esac
exec "$node" $bulk --no-concurrent-array-buffer-sweeping --min-semi-space-size=$young "$root/src/cli/$tool/main.js" "$@"
