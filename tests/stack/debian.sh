# Sourced by the two install scripts: which Debian packages are missing, and how they are installed.

# missing_of PACKAGE...: sets `missing` to those that are not installed.
missing_of() {
    missing=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
}

# policy-rc.d is what Debian's install scripts ask before they start a service; 101 means no.
policy=/usr/sbin/policy-rc.d
install_without_starting_services() {
    if [ ! -e "$policy" ]; then
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
    # Waits for another apt-get that is at work.
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >/dev/null
}
