#!/usr/bin/env bash
# Installs what the tests' Kubernetes cluster needs: containerd, runc, CNI plugins and busybox from Debian (for the real
# node), Go if there is none that is new enough, and the programs of Kubernetes itself, which are built once (about 7
# minutes on two cores, 4 GB of Go's caches). Run it as often as you like: what is there is left alone.
# No system service is started, no sysctl and no firewall rule is set.
set -euo pipefail
source "$(dirname "$0")/../debian.sh"

say() { echo "cluster programs: $*"; }
give_up() {
    say "NOT COMPLETE: $*" >&2
    exit 1
}

cd "$(dirname "$0")/../../.."
python=.venv/bin/python
"$python" -c 'import requests' 2>/dev/null || give_up "$python lacks the packages of the tests: run make install-test"

# --- Debian packages -------------------------------------------------------------------------------------------------

missing_of openssl iproute2 containerd runc containernetworking-plugins busybox-static

if [ ${#missing[@]} = 0 ]; then
    say "Debian packages: all installed"
elif [ "$(id -u)" != 0 ]; then
    # The real node needs root anyway: its tests will say so. Everything else works without it.
    say "Debian packages: ${missing[*]} are missing, and only root can install them: there will be no real node"
else
    command -v apt-get >/dev/null || give_up "no apt-get here: on Debian 12 run this script; elsewhere install ${missing[*]} by hand"
    say "Debian packages: installing ${missing[*]}"
    apt-get update -qq || say "apt-get update failed, trying with the package lists that are here"
    install_without_starting_services "${missing[@]}" ||
        give_up "apt-get could not install ${missing[*]}; is this Debian 12 and can it reach its package mirror?"
    # Nor may it start at the next boot of a machine with systemd.
    if [ -d /run/systemd/system ]; then systemctl --quiet disable containerd; fi
fi

# --- Go, and the programs built with it ------------------------------------------------------------------------------

"$python" -m tests.stack.kubernetes.build
"$python" -c 'from tests.stack.stripe import mock_program; print("Stripe: its mock is", mock_program())'
