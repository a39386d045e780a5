#!/bin/sh
# Installs what the tests need from the system, PostgreSQL, Chromium and, for the
# race detector, a C compiler, when they are missing, this is Debian, and root is
# to be had without a question. Elsewhere it says what is missing: those tests are
# then skipped, or failed under CI=true.
set -eu

packages=
set -- /usr/lib/postgresql/*/bin/initdb
[ -x "$1" ] || command -v initdb >/dev/null || packages="$packages postgresql"
command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
	command -v google-chrome >/dev/null || packages="$packages chromium"
command -v "${CC:-gcc}" >/dev/null || packages="$packages gcc libc6-dev"
[ -n "$packages" ] || exit 0

as_root=
if [ "$(id -u)" -ne 0 ]; then
	as_root="sudo -n"
	sudo -n true 2>/dev/null || as_root=no
fi
if [ "$as_root" = no ] || ! command -v apt-get >/dev/null; then
	echo "Not here, so their tests do not run:$packages" >&2
	exit 0
fi

apt() {
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q "$@"
}

echo "Installing for the tests:$packages"
# Lists of a kept machine may be old, those of a new one absent: both show as a
# failed install, and cost nothing otherwise.
# shellcheck disable=SC2086 # a list of words
apt install -y --no-install-recommends $packages || {
	apt update
	apt install -y --no-install-recommends $packages
}
