#!/bin/sh
# Makes what TestUSBHubInGuest boots: Debian's full kernel, and an initramfs with
# its USB modules, busybox and uhubctl. The kernel is unpacked, not installed.
#
# usage: usbguest.sh OUTDIR
#
# Needs the packages busybox-static, cpio and uhubctl. Any user can run it.
set -eu
export LC_ALL=C
out=$1
[ ! -e "$out/initramfs" ] || exit 0
mkdir -p "$out"
tmp=$(mktemp -d "$out/tmp.XXXXXX")
trap 'rm -rf "$tmp"' EXIT

kernel=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9]\)/\1/p' | head -n 1)
[ -n "$kernel" ] || { echo "usbguest.sh: no linux-image-amd64 in the package lists (try: apt-get update)" >&2; exit 1; }
(cd "$tmp" && apt-get download -q "$kernel")
dpkg-deb -x "$tmp"/linux-image-*.deb "$tmp/kernel"

root=$tmp/root
mkdir -p "$root/bin" "$root/dev" "$root/proc" "$root/sys" "$root/tmp" "$root/modules"
cp "$(command -v busybox)" "$root/bin/busybox"
uhubctl=$(PATH=$PATH:/usr/sbin command -v uhubctl)
cp "$uhubctl" "$root/bin/uhubctl"
for library in $(ldd "$uhubctl" | grep -o '/[^ ]*'); do
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
done
for module in usb-common usbcore xhci-hcd xhci-pci; do
    find "$tmp/kernel" -name "$module.ko*" -exec cp {} "$root/modules/" \;
    case $(ls "$root/modules/$module.ko"*) in
    *.xz) xz -d "$root/modules/$module.ko.xz" ;;
    esac
done
cp "$tmp"/kernel/boot/vmlinuz-* "$out/vmlinuz"
(cd "$root" && find . | cpio -o -H newc --quiet) > "$tmp/initramfs"
mv "$tmp/initramfs" "$out/initramfs"
