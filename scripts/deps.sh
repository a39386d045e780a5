#!/bin/sh
# Puts restic and rest-server, new enough for this project, into .deps/bin and
# nowhere else. Good ones found in PATH are linked; on Debian the rest comes
# from the suite sid, unpacked below .deps without touching the system.
# Does nothing when .deps/bin is good already.
set -eu
cd "$(dirname "$0")/.."

min_restic=0.19.0
min_rest_server=0.14.0
deps=$PWD/.deps
bin=$deps/bin

# version_of PROGRAM prints its version, or nothing.
# restic answers "restic 0.19.1 compiled with …" to "version";
# rest-server answers "rest-server version rest-server 0.14.0 …" to "--version".
version_of() {
	case $1 in
	*rest-server) flag=--version ;;
	*) flag=version ;;
	esac
	"$1" "$flag" 2>/dev/null | sed -n 's/^[^0-9]*\([0-9][0-9]*\.[0-9][0-9]*\.[0-9][0-9]*\).*/\1/p' | head -n 1
}

# good PROGRAM MINIMUM says whether it runs and is new enough.
good() {
	[ -x "$1" ] || return 1
	found=$(version_of "$1")
	[ -n "$found" ] || return 1
	[ "$(printf '%s\n%s\n' "$2" "$found" | sort -t . -k 1,1n -k 2,2n -k 3,3n | head -n 1)" = "$2" ]
}

# link_from_path TARGET MINIMUM NAME… links the first good program of PATH.
link_from_path() {
	target=$1 minimum=$2
	shift 2
	for name; do
		path=$(command -v "$name") || continue
		case $path in
		"$bin"/*) continue ;;
		/*) ;;
		*) continue ;;
		esac
		if good "$path" "$minimum"; then
			ln -sf "$path" "$bin/$target"
			return 0
		fi
	done
	return 1
}

# have TARGET MINIMUM NAME… makes sure of .deps/bin/TARGET without a download.
have() {
	good "$bin/$1" "$2" && return 0
	rm -f "$bin/$1"
	link_from_path "$@"
}

# apt_sid ARGUMENTS… is apt-get with its own sources, lists and cache, all in
# $work: it neither needs root nor changes what the system knows.
apt_sid() {
	apt-get -q -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
		-o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" \
		-o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false \
		-o APT::Sandbox::User=root "$@"
}

# debian_mirrors prints the Debian mirrors that this machine's apt is configured
# with, main only. apt itself reads both formats of its sources.
debian_mirrors() {
	apt-get indextargets --no-release-info --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
		sed -n 's,/ main$,,p' | grep '/debian$' | awk '!seen[$0]++'
}

# key_of MIRROR prints the key file that the mirror's source is signed by, which
# apt does not tell: from one-line .list files, then from .sources stanzas.
key_of() {
	{
		cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
			grep -F "$1" | sed -n 's,^deb .*signed-by=\(/[^], ]*\).*,\1,p'
		for file in /etc/apt/sources.list.d/*.sources; do
			[ ! -r "$file" ] || mirror=$1 awk 'BEGIN { RS = ""; FS = "\n" } index($0, ENVIRON["mirror"])' "$file"
		done | sed -n 's,^[Ss]igned-[Bb]y: *\(/[^ ]*\).*,\1,p'
		echo /usr/share/keyrings/debian-archive-keyring.gpg
	} | while read -r key; do
		[ ! -r "$key" ] || { echo "$key" && break; }
	done
}

# download PACKAGE PROGRAM TARGET unpacks one program of a package of sid.
download() {
	(cd "$work" && apt_sid download "$1/sid") || return 1
	dpkg-deb -x "$work/$1"_*.deb "$work/$1" || return 1
	install -m 755 "$work/$1/usr/bin/$2" "$bin/$3"
}

# from_mirror MIRROR gets what is not good yet from the mirror's suite sid.
from_mirror() {
	work=$deps/apt
	rm -rf "$work"
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	key=$(key_of "$1")
	echo "deb ${key:+[signed-by=$key] }$1 sid main" >"$work/sources.list"
	cat "$work/sources.list"
	apt_sid update || return 1
	good "$bin/restic" $min_restic || download restic restic restic || return 1
	good "$bin/rest-server" $min_rest_server ||
		download restic-rest-server restic-rest-server rest-server || return 1
}

from_debian() {
	command -v apt-get && command -v dpkg-deb || return 1
	for mirror in $(debian_mirrors); do
		from_mirror "$mirror" && return 0
	done
	return 1
}

mkdir -p "$bin"
have_both() {
	ok=0
	have restic $min_restic restic || ok=1
	have rest-server $min_rest_server rest-server restic-rest-server || ok=1
	return $ok
}
have_both && exit 0
echo "Looking for restic and rest-server in Debian sid, for .deps/bin only"
from_debian >"$deps/apt.log" 2>&1 || true
rm -rf "$deps/apt"
if ! good "$bin/restic" $min_restic || ! good "$bin/rest-server" $min_rest_server; then
	echo "Please install restic $min_restic or later and rest-server $min_rest_server or later, so that both are in PATH (they could not be had from Debian sid here; see .deps/apt.log)." >&2
	exit 1
fi
echo "In .deps/bin: restic $(version_of "$bin/restic"), rest-server $(version_of "$bin/rest-server")"
