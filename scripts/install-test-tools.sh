#!/bin/sh
# Installs what some tests talk to, on a Debian where we are root and it is missing. Without it those tests are skipped.
set -eu
[ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || exit 0

packages=
need() { [ -e "$1" ] || [ -n "$(command -v "$1")" ] || packages="$packages $2"; }
need ssh openssh-client
need /usr/sbin/sshd openssh-server
need chromium chromium
need expect expect
need sshfs sshfs
need openssl openssl
need certutil libnss3-tools
need faketime faketime
need ansible ansible-core
need dbclient dropbear-bin
need plink putty-tools
need /usr/lib/python3/dist-packages/paramiko python3-paramiko
need /usr/lib/python3/dist-packages/asyncssh python3-asyncssh
need ip iproute2
need curl curl
need rsync rsync
need git git
need ssh-audit ssh-audit
need promtool prometheus
need systemd-notify systemd
need python3 python3
need logger bsdutils
[ -n "$packages" ] || exit 0

# 101 forbids a package to start its service: no sshd on port 22 because of a test.
policy=/usr/sbin/policy-rc.d
[ ! -e $policy ] || mv $policy $policy.before-tests
restore() {
	rm -f $policy
	[ ! -e $policy.before-tests ] || mv $policy.before-tests $policy
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' > $policy
chmod 755 $policy

echo "Installing for the tests:$packages"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of names
apt-get -qq update < /dev/null > /dev/null &&
	apt-get -qq -o DPkg::Lock::Timeout=120 install --no-install-recommends $packages < /dev/null > /dev/null ||
	echo "That failed; the tests that need it are skipped" >&2
