#!/bin/sh
# Installs this release: the commands into $PREFIX/bin, everything else into $PREFIX/lib/teleport (PREFIX=/usr/local). With
# DESTDIR set, into the file system that will have its root there.
set -eu
usage="usage: [PREFIX=/usr/local] [DESTDIR=] ./install, or ./install PREFIX=/usr/local DESTDIR=/root/of/an/image"
for word in "$@"; do
  case $word in
    PREFIX=*) PREFIX=${word#PREFIX=} ;;
    DESTDIR=*) DESTDIR=${word#DESTDIR=} ;;
    *) echo "$usage" >&2 && exit 2 ;;
  esac
done
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
here=$(CDPATH='' cd -P -- "$here" && pwd)
"$here/lib/node" -e 0 || {
  echo "error: Node does not run here: it needs glibc 2.28 or newer, libstdc++ and libatomic (Debian: libstdc++6 libatomic1; Fedora: libstdc++ libatomic)" >&2
  exit 1
}
exec "$here/lib/node" "$here/lib/install.js" "$here" "${PREFIX:-/usr/local}" "${DESTDIR:-}"
