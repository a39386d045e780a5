#!/bin/sh
# Refreshes web/static/vendor from npm: exact versions into a temporary folder,
# and only what is used is copied. Run it by `make assets` and commit the result.
set -eu
cd "$(dirname "$0")/.."

tabler=1.6.1
htmx=4.0.1
icons=3.51.0

# The icons in use. A test compares this sprite with the templates and the code.
names="
activity alert-octagon alert-triangle ban calendar-time calendar-x camera check
chevron-right circle-check circle-dashed circle-x clock copy database
device-desktop download folder help-circle history info-circle key loader-2 lock
lock-open logout moon player-pause player-play player-skip-forward
plug-connected plug-connected-x plus refresh search send server server-2
settings shield-check shield-question shield-x sun trash user x
"

command -v npm >/dev/null || { echo "npm is not here: install Node.js to refresh the vendored files" >&2; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --prefix "$work" --ignore-scripts --no-audit --no-fund --no-save --loglevel=error \
	"@tabler/core@$tabler" "@tabler/icons@$icons" "htmx.org@$htmx"
modules=$work/node_modules
vendor=web/static/vendor
mkdir -p "$vendor/tabler" "$vendor/tabler-icons" "$vendor/htmx"

# The source maps are not shipped, so the comments that name them go too.
sed 's|/\*# sourceMappingURL=.*\*/||' "$modules/@tabler/core/dist/css/tabler.min.css" >"$vendor/tabler/tabler.min.css"
echo "$tabler" >"$vendor/tabler/VERSION"
test -s "$vendor/tabler/LICENSE" || { echo "$vendor/tabler/LICENSE is missing; the package carries none" >&2; exit 1; }

sed 's|^//# sourceMappingURL=.*||' "$modules/htmx.org/dist/htmx.min.js" >"$vendor/htmx/htmx.min.js"
cp "$modules/htmx.org/LICENSE" "$vendor/htmx/LICENSE"
echo "$htmx" >"$vendor/htmx/VERSION"

{
	echo '<svg xmlns="http://www.w3.org/2000/svg">'
	for name in $names; do
		printf '<symbol id="%s" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" stroke-linecap="round" stroke-linejoin="round">' "$name"
		grep -o '<\(path\|circle\|rect\|line\|polyline\|ellipse\) [^>]*/>' "$modules/@tabler/icons/icons/outline/$name.svg" |
			grep -v 'stroke="none"' | tr -d '\n'
		echo '</symbol>'
	done
	echo '</svg>'
} >"$vendor/tabler-icons/icons.svg"
cp "$modules/@tabler/icons/LICENSE" "$vendor/tabler-icons/LICENSE"
echo "$icons" >"$vendor/tabler-icons/VERSION"
