# busybox.oci: an OCI image layout (image-spec v1) with one small image, tagged
# "busybox", for every architecture that was built. Sourced by build.sh; uses
# tmp, out, arch, image_name.

# image_write DIR
image_write() {
    layout=$1
    mkdir -p "$layout/blobs/sha256"
    printf '{"imageLayoutVersion":"1.0.0"}' > "$layout/oci-layout"

    image_rootfs "$tmp/image"
    tar -C "$tmp/image" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
        -cf "$tmp/layer.tar" .
    diff_id=$(sha256sum < "$tmp/layer.tar" | cut -d' ' -f1)
    gzip -n -9 "$tmp/layer.tar"
    blob_add "$tmp/layer.tar.gz"
    layer=$(descriptor application/vnd.oci.image.layer.v1.tar+gzip)

    printf '{"created":"1970-01-01T00:00:00Z","architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"1970-01-01T00:00:00Z","created_by":"b2c-runner"}]}' \
        "$arch" "$diff_id" > "$tmp/blob"
    blob_add "$tmp/blob"
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":%s,"layers":[%s]}' \
        "$(descriptor application/vnd.oci.image.config.v1+json)" "$layer" > "$tmp/blob"
    blob_add "$tmp/blob"
    descriptor application/vnd.oci.image.manifest.v1+json \
        ",\"platform\":{\"architecture\":\"$arch\",\"os\":\"linux\"}" > "$tmp/manifest-$arch"

    image_keep_others
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' \
        "$(cat "$tmp"/manifest-* | paste -sd,)" > "$tmp/blob"
    blob_add "$tmp/blob"
    printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[%s]}' \
        "$(descriptor application/vnd.oci.image.index.v1+json ',"annotations":{"org.opencontainers.image.ref.name":"busybox"}')" \
        > "$layout/index.json"
}

# image_rootfs DIR: busybox, a link for each of its applets, and a few files.
image_rootfs() {
    mkdir -p "$1/bin" "$1/etc" "$1/root" "$1/tmp" "$1/usr" "$1/var"
    chmod 700 "$1/root"
    chmod 1777 "$1/tmp"
    ln -s ../bin "$1/usr/bin"
    ln -s bin "$1/sbin"
    cp "$tmp/root/bin/busybox" "$1/bin/busybox"
    printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' > "$1/etc/passwd"
    printf 'root:x:0:\nnogroup:x:65534:\n' > "$1/etc/group"

    applets_link "$1/bin"
}

# blob_add FILE moves it among the blobs; descriptor then describes it.
blob_add() {
    blob_digest=$(sha256sum < "$1" | cut -d' ' -f1)
    blob_size=$(wc -c < "$1")
    mv "$1" "$layout/blobs/sha256/$blob_digest"
}

# descriptor MEDIATYPE [MORE]
descriptor() {
    printf '{"mediaType":"%s","digest":"sha256:%s","size":%s%s}\n' "$1" "$blob_digest" "$blob_size" "${2:-}"
}

# image_keep_others takes over the images of other architectures that stand in
# the layout this one will replace.
image_keep_others() {
    old=$out/$image_name
    [ -f "$old/index.json" ] || return 0
    index=$(digests "$old/index.json")
    grep -o '{[^{]*"platform":{[^}]*}}' "$old/blobs/sha256/$index" | while IFS= read -r manifest; do
        other=$(echo "$manifest" | sed 's/.*"architecture":"\([^"]*\)".*/\1/')
        [ "$other" != "$arch" ] || continue
        echo "$manifest" > "$tmp/manifest-$other"
        digest=$(echo "$manifest" | digests)
        for blob in "$digest" $(digests "$old/blobs/sha256/$digest"); do
            cp "$old/blobs/sha256/$blob" "$layout/blobs/sha256/"
        done
    done
}

# digests [FILE] prints the digest of each descriptor.
digests() {
    grep -o '"digest":"sha256:[0-9a-f]*' "$@" | sed 's/.*://'
}
