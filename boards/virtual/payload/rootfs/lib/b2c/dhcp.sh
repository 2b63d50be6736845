#!/bin/sh
# Called by udhcpc with an event; the lease is in the environment.

case $1 in
    deconfig)
        ip -4 addr flush dev "$interface"
        ;;
    bound | renew)
        ip addr replace "$ip/${mask:-24}" dev "$interface"
        if [ -n "${staticroutes:-}" ]; then # RFC 3442: these replace the routers
            set -- $staticroutes
            while [ $# -ge 2 ]; do
                ip route replace "$1" via "$2" dev "$interface"
                shift 2
            done
        else
            for address in ${router:-}; do
                ip route replace default via "$address" dev "$interface"
                break
            done
        fi
        {
            [ -z "${domain:-}" ] || echo "search $domain"
            for address in ${dns:-}; do
                echo "nameserver $address"
            done
        } > /etc/resolv.conf
        [ -z "${ntpsrv:-}" ] || echo "${ntpsrv%% *}" > /run/ntp_peer
        ;;
esac
