# The initramfs: programs with the libraries they need, the kernel's modules,
# our own files. Sourced by build.sh; uses tmp (the packages are unpacked in
# $tmp/pool), here, arch, kernel_name, modules, optional_modules.

# kernel_fill takes the kernel and its modules. The modules are loaded in the
# order of the file "order", so that no tool has to resolve anything at boot.
kernel_fill() {
    set -- "$tmp"/pool/boot/vmlinuz-*
    [ -f "$1" ] || die "failed to find a kernel among the kernel's packages"
    kernel_version=${1##*/vmlinuz-}
    install -m 644 "$1" "$tmp/$kernel_name"

    module_pool=$(find "$tmp/pool" -type d -path "*/modules/$kernel_version" | head -n 1)
    module_dir=$tmp/root/lib/modules/$kernel_version
    mkdir -p "$module_dir"
    : > "$module_dir/order"
    for name in $modules; do
        module_add "$name" || die "failed to find the module \"$name\" among the kernel's packages"
    done
    for name in $optional_modules; do
        module_add "$name" || :
    done
}

# module_add NAME adds a module after those it depends on. In files and lists
# "-" and "_" are the same.
module_add() {
    ! grep -q -x "$1.ko" "$module_dir/order" || return 0
    pattern=$(echo "$1" | sed 's/[-_]/[-_]/g')
    ! grep -q "/$pattern\.ko$" "$module_pool/modules.builtin" || return 0
    module_file=$(find "$module_pool" -name "$pattern.ko*" | head -n 1)
    [ -n "$module_file" ] || return 1
    case $module_file in
        *.xz) xz -dc "$module_file" > "$module_dir/$1.ko" ;;
        *.zst) zstd -dcq "$module_file" > "$module_dir/$1.ko" ;;
        *) cp "$module_file" "$module_dir/$1.ko" ;;
    esac
    for depends in $(readelf -p .modinfo "$module_dir/$1.ko" | sed -n 's/.*\] *depends=//p' | tr ',' ' '); do
        module_add "$depends" || die "failed to find the module \"$depends\", which a module needs"
    done
    echo "$1.ko" >> "$module_dir/order"
}

rootfs_fill() {
    (cd "$here/rootfs" && find . -type d -exec mkdir -p "$tmp/root/{}" \; &&
        find . -type f -exec install -m 644 {} "$tmp/root/{}" \;)
    root=$tmp/root
    chmod 755 "$root/init" "$root/lib/b2c/dhcp.sh"
    (
        cd "$root"
        mkdir -p bin dev lib/podman proc root run sys tmp usr var/lib/containers var/tmp etc/ssl/certs
        ln -s bin sbin
        ln -s lib lib64
        ln -s ../bin usr/bin
        ln -s ../bin usr/sbin
        ln -s ../lib usr/lib
        ln -s ../run var/run
        ln -s /proc/mounts etc/mtab
    )
    program_add rdate bin/rdate
    program_add busybox bin/busybox
    applets_link "$root/bin"
    program_add podman bin/podman
    program_add crun bin/crun
    program_add conmon bin/conmon
    program_add netavark lib/podman/netavark
    find "$tmp/pool/usr/share/ca-certificates" -name '*.crt' | sort | xargs cat > "$root/etc/ssl/certs/ca-certificates.crt"
    echo "b2c-runner payload for $arch (podman $(sed -n 's/^podman_\(.*\)_.*/\1/p' "$apt/selection" | cut -d' ' -f1))" > "$root/etc/b2c.version"
}

# program_add NAME DESTINATION
program_add() {
    program=$(find "$tmp/pool" -type f -name "$1" -perm -u+x | head -n 1)
    [ -n "$program" ] || die "failed to find the program \"$1\" in the packages"
    install -m 755 "$program" "$root/$2"
    libraries_add "$program"
}

# applets_link DIR links the applets of the busybox in DIR, where the name is free.
applets_link() {
    applets "$1/busybox" > "$tmp/applets"
    [ "$(wc -l < "$tmp/applets")" -gt 100 ] || die 'failed to read the list of applets in busybox'
    while read -r name; do
        [ -e "$1/$name" ] || ln -s busybox "$1/$name"
    done < "$tmp/applets"
}

# applets FILE prints the names of busybox's applets, which it keeps as a table
# of strings from "[" to "zcat". The program may be of another architecture, so
# it is read and not asked.
applets() {
    tr '\000' '\n' < "$1" | awk '
        last == "[" && $0 == "[[" { table = 1; print last }
        table { print }
        table && $0 == "zcat" { exit }
        { last = $0 }'
}

# libraries_add FILE adds, once each, the libraries that an ELF file names, and
# theirs. It reads the names and runs nothing, so any architecture will do. The
# loader is among the libraries that libc names.
libraries_add() {
    for library in $(readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
        [ ! -e "$root/lib/$library" ] || continue
        file=$(find "$tmp/pool" -name "$library" -not -path '*/debug/*' | head -n 1)
        [ -n "$file" ] || die "failed to find the library \"$library\", which \"${1##*/}\" needs"
        install -m 755 "$file" "$root/lib/$library" # the loader has to be executable
        libraries_add "$file"
    done
}

# rootfs_pack DIR FILE writes the archive; the same DIR gives the same bytes.
# Of the levels, 12 is the knee: 19 saves a tenth of the size for 14 times the work.
rootfs_pack() {
    find "$1" -exec touch -h -d @0 {} +
    (cd "$1" && find . -mindepth 1 -print0 | sort -z |
        cpio -o -0 -H newc --reproducible -R 0:0 --quiet) > "$tmp/cpio"
    zstd -q -12 -T0 "$tmp/cpio" -o "$2"
}
