#!/bin/sh
# Sessions are nobody's to throw away: the lake and the journal stay, at a purge too, and so does their user.
set -e

[ ! -d /run/systemd/system ] || systemctl daemon-reload
case "$1" in
    purge)
        [ ! -d /var/lib/sessionlake ] || echo "sessionlake: /var/lib/sessionlake stays, with the lake and the journal"
        ;;
esac
