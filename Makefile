# Needs Node 20 or newer and npm 11; the Node that everything runs on comes with the packages.

.POSIX:
PREFIX = /usr/local
DESTDIR =
.PHONY: start deps test check interop bench build install web

start: deps
	@exec bin/teleport start

# The packages, when the lock file is newer than what is installed, and the browser app.
deps: node_modules/.package-lock.json web

# A node_modules that is a link belongs to another checkout, which keeps it.
node_modules/.package-lock.json: package-lock.json
	@[ -L node_modules ] || { echo "Installing the packages (half a minute)"; npm ci > /dev/null; }

web: node_modules/.package-lock.json
	@sh scripts/build-web.sh

# Lint, types and every test; the last line counts them all.
test: deps
	@sh scripts/install-test-tools.sh
	@npm run --silent test

# Lint, types and unit tests, before every commit; seconds.
check: deps
	@npm run --silent check

# Stock OpenSSH, PuTTY, dropbear and others against ours.
interop: deps
	@sh scripts/install-test-tools.sh
	@npm run --silent interop

# The release: its files in dist/, commands that need neither packages nor a compiler, and an archive of them with its SHA-256.
build: deps
	@npm run --silent release

# What `make build` made, or now makes: commands into $PREFIX/bin, the rest into $PREFIX/lib/teleport, below $DESTDIR.
install:
	@[ -e dist/release.json ] || $(MAKE) build
	@dist/install PREFIX='$(PREFIX)' DESTDIR='$(DESTDIR)'

# On the release, as operators run it.
bench: deps
	@npm run --silent bench
