#!/bin/sh
# Checks options.sh on this host; any POSIX shell will do (busybox sh is the real
# one). Prints what is wrong and fails, or prints "ok".
set -uf
. "$(dirname "$0")/rootfs/lib/b2c/options.sh"

failures=0
warnings=''
warn() {
    warnings=$warnings$1$newline
}

# given TEXT starts anew and parses it.
given() {
    warnings=''
    options_reset
    options_parse "$1"
}

# same WHAT GOT WANT
same() {
    [ "$2" = "$3" ] && return 0
    printf '%s: got "%s", want "%s"\n' "$1" "$2" "$3"
    failures=$((failures + 1))
}

given 'ro console=ttyS0 b2c.run="-ti docker://a/b:c sh -c '\''x  y'\''" b2c.container=two quiet'
same 'runs keep order, old name, quotes and blanks' "$opt_run" "-ti docker://a/b:c sh -c 'x  y'${newline}two$newline"
same 'no warning' "$warnings" ''

given 'b2c."run=a b" x"b2c.run=no" b2c.run="unfinished c'
same 'quotes anywhere' "$opt_run" "a b${newline}unfinished c$newline"

given 'b2c.run=-e=A=B b2c.run_post=p b2c.post_container=q b2c.service=s b2c.run_service=t'
same 'value with =' "$opt_run" "-e=A=B$newline"
same 'post' "$opt_run_post" "p${newline}q$newline"
same 'services' "$opt_run_service" "s${newline}t$newline"

given 'b2c.hostname=a b2c.hostname=b b2c.pipefail b2c.poweroff_delay=15'
same 'last one wins' "$opt_hostname" b
same 'flag' "$opt_pipefail" 1
same 'number' "$opt_poweroff_delay" 15

given 'b2c.poweroff_delay=1;reboot b2c.swap=8G b2c.nonsense=* b2c.run=*'
same 'bad number' "$opt_poweroff_delay" 0
same 'warnings' "$(printf '%s' "$warnings" | wc -l | tr -d ' ')" 3
same 'no globbing' "$opt_run" "*$newline"

given "b2c.run=one${newline}b2c.run=\"two words\"	b2c.run=three"
same 'lines and tabs' "$opt_run" "one${newline}two words${newline}three$newline"
options_parse 'b2c.run=more'
same 'a second text adds' "$opt_run" "one${newline}two words${newline}three${newline}more$newline"

[ "$failures" = 0 ] && echo ok
