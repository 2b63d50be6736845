# The b2c.* options of a command line, into opt_* variables.
# Sourced by boot.sh; it needs nothing but a shell and awk, so a host can test it.

newline='
'

# options_reset sets every option to its default.
options_reset() {
    opt_run='' opt_run_post='' opt_run_service='' opt_iface=''
    opt_pipefail=0
    opt_ntp_peer=none
    opt_cache_device=none
    opt_hostname=boot2container
    opt_insmods=''
    opt_extra_args_url=''
    opt_poweroff_delay=0
    opt_shutdown_cmd='poweroff -f'
    opt_reboot_cmd='reboot -f'
}

# options_split TEXT prints its words one a line. Blanks separate words, except
# inside double quotes; the quotes are dropped. Nothing else is special.
options_split() {
    printf '%s\n' "$1" | awk -F'"' '{
        for (i = 1; i <= NF; i++) {
            if (i % 2) gsub(/[ \t\r]+/, "\n", $i)
            printf "%s", $i
        }
        print ""
    }'
}

# options_parse TEXT applies the b2c.* words of TEXT over what is set. Options
# that may be repeated collect their values one a line.
options_parse() {
    while IFS= read -r word; do
        case $word in b2c.*) ;; *) continue ;; esac
        value=${word#*=}
        case $word in
            b2c.run=* | b2c.container=*) opt_run=$opt_run$value$newline ;;
            b2c.run_post=* | b2c.post_container=*) opt_run_post=$opt_run_post$value$newline ;;
            b2c.run_service=* | b2c.service=*) opt_run_service=$opt_run_service$value$newline ;;
            b2c.iface=*) opt_iface=$opt_iface$value$newline ;;
            b2c.pipefail | b2c.pipefail=*) opt_pipefail=1 ;;
            b2c.ntp_peer=*) opt_ntp_peer=$value ;;
            b2c.cache_device=*) opt_cache_device=$value ;;
            b2c.hostname=*) opt_hostname=$value ;;
            b2c.insmods=*) opt_insmods=$value ;;
            b2c.extra_args_url=*) opt_extra_args_url=$value ;;
            b2c.shutdown_cmd=*) opt_shutdown_cmd=$value ;;
            b2c.reboot_cmd=*) opt_reboot_cmd=$value ;;
            b2c.poweroff_delay=*)
                case $value in
                    '' | *[!0-9]*) warn "the value of b2c.poweroff_delay is not a number of seconds: '$value'" ;;
                    *) opt_poweroff_delay=$value ;;
                esac
                ;;
            b2c.minio=* | b2c.volume=* | b2c.filesystem=* | b2c.swap=* | b2c.nbd=* | \
            b2c.storage=* | b2c.proxy=* | b2c.keymap=*)
                warn "'${word%%=*}' is ignored: this payload does not have it"
                ;;
            *) warn "unknown parameter '$word'" ;;
        esac
    done <<END
$(options_split "$1")
END
}
