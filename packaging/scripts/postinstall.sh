#!/bin/sh
# dpkg: configure [VERSION BEFORE]. rpm: the number of versions that are installed now.
set -e

case "$1" in
    configure) before="$2" ;;
    abort-*) exit 0 ;;
    1) before= ;;
    *) before=some ;;
esac

systemd-sysusers sessionlake.conf
# Its keys and credentials are for root and the service.
if [ -z "$before" ]; then
    chgrp sessionlake /etc/sessionlake /etc/sessionlake/sessionlake.toml
fi

[ -d /run/systemd/system ] || exit 0
systemctl daemon-reload
if [ -z "$before" ]; then
    # Nothing listens, and no lake is made, before somebody has said so.
    echo "sessionlake is not started. Look at /etc/sessionlake/sessionlake.toml, then: systemctl enable --now sessionlake"
elif systemctl is-active --quiet sessionlake; then
    # The old program goes on if the new one does not take its configuration.
    if systemd-run --quiet --wait --pipe --collect --uid=sessionlake \
        -p EnvironmentFile=-/etc/sessionlake/environment -p WorkingDirectory=/var/lib/sessionlake \
        /usr/bin/sessionlake check --offline --config /etc/sessionlake/sessionlake.toml >/run/sessionlake-check 2>&1
    then
        # A stop may wait for the lake. It goes on after this, and the start follows it.
        timeout 150 systemctl restart sessionlake ||
            echo "sessionlake: the restart goes on, or has failed: systemctl status sessionlake" >&2
    else
        cat /run/sessionlake-check >&2
        echo "sessionlake: this version does not take the configuration. The version before goes on running; \
mend /etc/sessionlake/sessionlake.toml, then: systemctl restart sessionlake" >&2
    fi
    rm -f /run/sessionlake-check
fi
