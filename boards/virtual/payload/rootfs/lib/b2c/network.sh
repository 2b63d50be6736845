# Interfaces, addresses and the clock.

# connect brings up the interfaces of b2c.iface, or every wired one by DHCP.
connect() {
    section_start connect 'Connect to the network'
    ip link set lo up
    if [ -n "$opt_iface" ]; then
        for spec in $opt_iface; do
            configure_interface "$spec" || return 1
        done
        return 0
    fi

    # A driver may need a moment to find its device, so look again each round.
    for _ in $(seq 21); do
        for name in $(wired_interfaces); do
            dhcp "$name" && return 0
        done
        sleep .5
    done
    names=$(wired_interfaces)
    if [ -n "$names" ]; then
        log_error "cannot auto-configure following network interfaces: $names"
    else
        log_error 'No suitable network interface found'
    fi
    return 1
}

wired_interfaces() {
    ls /sys/class/net | grep '^\(eth\|en\)'
}

# dhcp NAME takes a lease, and keeps a client in the background that renews it.
dhcp() {
    ip link set "$1" up || return 1
    udhcpc -i "$1" -s /lib/b2c/dhcp.sh -O ntpsrv -O staticroutes -T 1 -n > /run/udhcpc."$1" 2>&1 || return 1
    log "Getting IP for network interface $1: $(interface_address "$1")"
}

interface_address() {
    ip -4 -o addr show dev "$1" | awk '{ print $4; exit }'
}

# configure_interface SPEC obeys one b2c.iface: NAME,key[=value],…
configure_interface() {
    name=${1%%,*} use_dhcp=0 address='' gateway='' routes='' nameservers=''
    for item in $(echo "${1#"$name"}" | tr ',' '\n'); do
        case $item in
            dhcp | auto) use_dhcp=1 ;;
            address=*) address=${item#*=} ;;
            gateway=*) gateway=${item#*=} ;;
            route=*) routes=$routes${item#*=}$newline ;;
            nameserver=*) nameservers=$nameservers${item#*=}$newline ;;
            forward) echo 1 > /proc/sys/net/ipv4/ip_forward ;;
            *) warn "unknown item '$item' in b2c.iface" ;;
        esac
    done

    for _ in $(seq 21); do
        [ ! -e "/sys/class/net/$name" ] || break
        sleep .5
    done
    ip link set "$name" up || return 1
    if [ "$use_dhcp" = 1 ]; then
        for _ in $(seq 7); do
            dhcp "$name" && break
        done
        [ -n "$(interface_address "$name")" ] || return 1
    fi
    if [ -n "$address" ]; then
        ip addr add "$address" dev "$name" || return 1
    fi
    if [ -n "$gateway" ]; then
        ip route replace default via "$gateway" dev "$name" || return 1
    fi
    for route in $routes; do
        ip route add "${route%:*}" via "${route##*:}" dev "$name" || return 1
    done
    for nameserver in $nameservers; do
        echo "nameserver $nameserver" >> /etc/resolv.conf
    done
}

# set_clock asks an NTP server for the time. "auto" is the server that DHCP
# named, else the public pool. A clock that stays wrong stops nothing.
set_clock() {
    peer=$opt_ntp_peer
    [ "$peer" != none ] || return 0
    section_start ntp_set 'Synchronize the clock'
    if [ "$peer" = auto ]; then
        peer=pool.ntp.org
        [ ! -s /run/ntp_peer ] || read -r peer < /run/ntp_peer
    fi
    for _ in 1 2 3; do
        # The path, as busybox has an rdate that does not speak SNTP.
        if timeout 5 /bin/rdate -n -s -o 123 "$peer"; then
            log "Getting the time from the NTP server $peer: DONE"
            return 0
        fi
    done
    log "Getting the time from the NTP server $peer: FAILED"
}
