#!/bin/sh
# dpkg: remove, upgrade, …. rpm: the number of versions that stay.
set -e

case "$1" in
    remove | 0)
        [ ! -d /run/systemd/system ] || systemctl stop sessionlake
        # Its link is left by an image that was made without systemd running, too.
        systemctl disable --quiet sessionlake 2>/dev/null || true
        ;;
esac
