# What the console shows: GitLab sections, log lines, traces. A reader of
# boot2container's console finds the same lines here.

# An explicit handle on the console, for commands whose output is captured.
exec 3>&2

section=b2c_kernel_boot # opened by the job that booted the kernel

# now sets now to the uptime in seconds.
now() {
    read -r now < /proc/uptime
    now=${now%% *}
}

section_end() {
    [ -n "$section" ] || return 0
    printf '\033[0Ksection_end:%s:%s\r\033[0K\n' "$EPOCHSECONDS" "$section"
    section=''
}

# section_start NAME TITLE [OPTIONS] ends the open section and begins another.
# OPTIONS is [collapsed=true] unless it is given.
section_start() {
    section_end
    section=$1
    now
    printf '\033[0Ksection_start:%s:%s%s\r\033[0K\033[0;36m[%s]: %s\033[0m\n' \
        "$EPOCHSECONDS" "$1" "${3-[collapsed=true]}" "$now" "$2"
}

log() {
    now
    printf '\n[%s]: %s\n\n' "$now" "$1"
}

log_error() {
    now
    printf '\n\033[0;31m[%s]: ERROR: %s\033[0m\n\n' "$now" "$1"
}

warn() {
    printf 'B2C_WARNING: %s\n' "$1" >&3
}

# traced COMMAND… runs it with the shell's own trace line before it.
traced() {
    set -x
    "$@"
    { traced_status=$?; set +x; } 2> /dev/null
    return "$traced_status"
}
