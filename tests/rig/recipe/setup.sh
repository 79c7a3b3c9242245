# Before apt's first run: $1 is the new root.
set -eu
etc=$1/etc/apt
# backports lie where trixie lies, whichever mirror that is.
mkdir -p "$etc/sources.list.d" "$etc/preferences.d"
for list in "$etc/sources.list" "$etc"/sources.list.d/*.list; do
    [ -f "$list" ] || continue
    sed -n 's/ trixie main/ trixie-backports main/p' "$list"
done > "$1/backports"
mv "$1/backports" "$etc/sources.list.d/backports.list"
for list in "$etc"/sources.list.d/*.sources; do
    [ -f "$list" ] && grep -q '^Suites:.* trixie\( \|$\)' "$list" || continue
    sed 's/^Suites:.*/Suites: trixie-backports/' "$list" > "$1/backports"
    mv "$1/backports" "$etc/sources.list.d/backports.sources"
    break
done
grep -qs trixie-backports "$etc"/sources.list.d/backports.* || {
    echo "no source for trixie was found to take trixie-backports from" >&2
    exit 1
}
