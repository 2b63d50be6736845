# From the kernel's command line to the last line on the console.

set -uf -o pipefail # no globs: values are split at newlines, nothing else
. /lib/b2c/console.sh
. /lib/b2c/options.sh
. /lib/b2c/network.sh
. /lib/b2c/pipeline.sh
IFS=$newline

# The keys of the console are for what runs: it gets Ctrl-C, this shell goes on.
trap : INT QUIT
trap '' TSTP

print_runtime_info() {
    section_start runtime_info 'Runtime information'
    read -r kernel < /proc/sys/kernel/osrelease
    read -r version < /etc/b2c.version
    cat <<END
Linux version: $kernel
Boot2container version: $version
Architecture: $(uname -m)
CPU: $(awk -F': ' '/^model name/ { print $2; exit }' /proc/cpuinfo)
RAM: $(awk '/^MemTotal/ { print $2, $3; exit }' /proc/meminfo)
Block devices: $(block_devices)
END
}

block_devices() {
    set +f
    for device in /sys/block/*; do
        [ -e "$device/size" ] || continue
        read -r sectors < "$device/size"
        printf '%s=%sM ' "${device##*/}" $((sectors / 2048))
    done
}

load_modules() {
    directory=/lib/modules/$kernel
    if [ -e "$directory/order" ]; then
        for module in $(cat "$directory/order"); do
            insmod "$directory/$module"
        done
    else
        warn "there are no modules for Linux $kernel in this initramfs"
    fi
    IFS=,
    for module in $opt_insmods; do
        file=/usr_mods/$module
        [ -e "$file" ] || file=$file.ko
        traced insmod "$file"
    done
    IFS=$newline
}

# Without a hardware source the kernel gathers randomness, at the cost of a CPU,
# only when somebody waits for it. podman will: wait early, beside the network.
gather_randomness() {
    read -r source 2> /dev/null < /sys/class/misc/hw_random/rng_current || source=none
    [ "$source" != none ] || head -c 1 /dev/random > /dev/null &
}

extra_options() {
    [ -n "$opt_extra_args_url" ] || return 0
    section_start parse_extra_cmdline 'Download and parse the extra command line'
    if wget -q -O /run/extra_args "$opt_extra_args_url"; then
        options_parse "$(cat /run/extra_args)"
    else
        log_error 'Could not download the extra command line, shutting down!'
        return 1
    fi
}

shut_down() {
    section_end
    if [ "$shutdown_mode" = reboot ]; then
        log 'Rebooting the computer'
        command=$opt_reboot_cmd
    else
        log "It's now safe to turn off your computer"
        [ "$opt_poweroff_delay" = 0 ] || sleep "$opt_poweroff_delay"
        command=$opt_shutdown_cmd
    fi
    unset IFS
    set +f
    eval "$command"
    # The command may have come back, or left the work to somebody else.
    sleep 10
    poweroff -f
}

section_start b2c_setup 'Setting up boot2container'
options_reset
options_parse "$(cat /proc/cmdline)"
[ "$opt_cache_device" = none ] || warn "'b2c.cache_device=$opt_cache_device' is ignored: containers are kept in memory"
print_runtime_info
load_modules
gather_randomness
if connect; then
    set_clock
    if extra_options; then
        hostname "$opt_hostname"
        run_pipeline
    fi
else
    log 'ERROR: Could not connect to the network, shutting down!'
fi
shut_down
