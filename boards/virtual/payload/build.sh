#!/bin/sh
# Builds what a virtual board boots, from Debian packages that are unpacked and
# never installed: a kernel, an initramfs with podman that keeps boot2container's
# contract, and a container image to run. See README.md beside this file.
#
# usage: build.sh [--refresh] [ARCH [OUTDIR]]
#
# ARCH is amd64 (the default) or arm64, OUTDIR is build/payload by default.
# --refresh asks the archive for newer packages. Any user can run it.
set -eu
export LC_ALL=C TZ=UTC
unset CDPATH GZIP TAR_OPTIONS ZSTD_CLEVEL ZSTD_NBTHREADS 2> /dev/null || :
umask 022

here=$(cd "$(dirname "$0")" && pwd)
. "$here/build/apt.sh"
. "$here/build/rootfs.sh"
. "$here/build/image.sh"

die() {
    echo "build.sh: $*" >&2
    exit 1
}

say() {
    echo "payload: $*"
}

# need PROGRAM PACKAGE notes a program that is not here.
need() {
    command -v "$1" > /dev/null || lacking="$lacking $2"
}

refresh=0
if [ "${1:-}" = --refresh ]; then
    refresh=1
    shift
fi
arch=${1:-amd64}
out=${2:-$here/../../../build/payload}
case $out in /*) ;; *) out=$PWD/$out ;; esac

modules='virtio_pci virtio_net virtio_rng overlay'
case $arch in
    amd64)
        kernel_packages='linux-image-cloud-amd64 linux-image-virtual' # Debian's, Ubuntu's
        kernel_name=linux-x86_64
        optional_modules='e1000 e1000e'
        ;;
    arm64)
        kernel_packages='linux-image-arm64 linux-image-generic'
        kernel_name=linux-arm64
        optional_modules='dwc2 usbnet cdc_ether smsc95xx lan78xx'
        ;;
    *) die "failed to build for \"$arch\": only amd64 and arm64 are known" ;;
esac
packages='podman crun conmon netavark rdate busybox-static ca-certificates'
initramfs_name=initramfs.linux_$arch.cpio.zst
image_name=busybox.oci

# The key of a build: these files, and the packages with their hashes.
key() {
    (
        cd "$here"
        echo "$arch"
        find build build.sh rootfs -type f -print | sort | xargs sha256sum
        cat "$out/.apt/$arch/selection"
    ) | sha256sum | cut -d' ' -f1
}

up_to_date() {
    [ "$refresh" = 0 ] || return 1
    for name in "$kernel_name" "$initramfs_name" "$image_name" ".apt/$arch/selection" ".stamp-$arch"; do
        [ -e "$out/$name" ] || return 1
    done
    [ "$(key)" = "$(cat "$out/.stamp-$arch")" ]
}

if up_to_date; then
    say "$arch is up to date"
    exit 0
fi

lacking=''
need apt-get apt
need dpkg-deb dpkg
need flock util-linux
need readelf binutils
need cpio cpio
need zstd zstd
need xz xz-utils
[ -z "$lacking" ] || die "failed to find programs (try: apt-get install$lacking)"

mkdir -p "$out" 2> /dev/null && [ -w "$out" ] ||
    die "failed to write to \"$out\" as $(id -un) (try: another OUTDIR, or chown it)"
out=$(cd "$out" && pwd)
exec 9> "$out/.lock"
if ! flock -n 9; then
    say 'waiting for another build'
    flock 9
fi
if up_to_date; then
    say "$arch is up to date"
    exit 0
fi

rm -rf "$out"/.tmp.*
tmp=$(mktemp -d "$out/.tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

apt_prepare "$out/.apt/$arch"
renew() {
    say 'fetching the package lists'
    apt_update
    apt_select || die "failed to choose packages for $arch: $(head -n 3 "$apt/log") (try: apt-get update)"
}
if [ "$refresh" = 1 ] || ! apt_select; then
    renew
fi
refresh=0
if up_to_date; then
    say "$arch is up to date"
    exit 0
fi
say "fetching $(wc -l < "$apt/selection") packages"
if ! apt_fetch; then # the archive may have newer ones in their place
    renew
    apt_fetch || die "failed to fetch$missing: $(grep '^E:' "$apt/log" | head -n 2) (try: apt-get update)"
fi
stamp=$(key)
for file in $(cut -d' ' -f1 "$apt/selection"); do
    dpkg-deb -x "$apt/debs/$file" "$tmp/pool"
done

say 'packing the initramfs'
kernel_fill
rootfs_fill
rootfs_pack "$tmp/root" "$tmp/$initramfs_name"
say 'writing the image'
image_write "$tmp/$image_name"

# From here a break leaves no stamp, and the next call builds again.
rm -f "$out/.stamp-$arch"
rm -rf "${out:?}/$image_name"
for name in "$kernel_name" "$initramfs_name" "$image_name"; do
    mv "$tmp/$name" "$out/$name"
done
echo "$stamp" > "$tmp/stamp"
mv "$tmp/stamp" "$out/.stamp-$arch"
say "$out: $(cd "$out" && du -sh --apparent-size "$kernel_name" "$initramfs_name" "$image_name" |
    awk '{ printf "%s%s %s", sep, $2, $1; sep = ", " }')"
