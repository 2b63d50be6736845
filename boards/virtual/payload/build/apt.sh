# A private apt: the system's sources, keys and proxies, but lists, downloads
# and an (empty) list of installed packages of our own. It needs no privileges
# and changes nothing on the host. Sourced by build.sh; uses arch, tmp,
# packages, kernel_packages.

# apt_prepare DIR sets apt up to live in DIR.
apt_prepare() {
    apt=$1
    mkdir -p "$apt/conf.d" "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
    : > "$apt/status"
    rm -f "$apt"/conf.d/*
    for file in /etc/apt/apt.conf.d/*; do
        [ ! -r "$file" ] || ln -s "$file" "$apt/conf.d/"
    done
    # Hooks of the host would act on the host's own state.
    cat > "$apt/conf.d/zzz-payload" <<END
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "$arch";
APT::Architectures { "$arch"; };
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::ForceHash "SHA256";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::CNF::DefaultEnabled "false";
END
    cat > "$apt/apt.conf" <<END
Dir::Etc::Parts "$apt/conf.d";
Dir::State "$apt";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
END
    export APT_CONFIG="$apt/apt.conf"
}

apt_update() {
    apt-get update -q > "$apt/log" 2>&1 ||
        die "failed to fetch the package lists: $(grep '^E:' "$apt/log" | head -n 3) (try: apt-get update)"
}

# apt_closure PACKAGE… prints FILE SHA256 of each and of all they depend on.
apt_closure() {
    apt-get install --print-uris -qq "$@" 2> "$apt/log" |
        awk '$4 ~ /^SHA256:/ { print $2, substr($4, 8) }'
}

# apt_select writes to the selection what has to be unpacked: the packages
# themselves, the libraries in their closure, and the kernel's own package.
apt_select() {
    wanted=$(echo "$packages" | tr ' ' '|')
    apt_closure $packages | grep -E "^($wanted|lib[^_]*)_" |
        grep -v -E '^lib(perl|pam-|[^_]*-perl)' > "$tmp/selection" || return 1
    for package in $kernel_packages; do
        ! apt_closure "$package" | grep -E '^linux-(image|modules)-[0-9]' > "$tmp/kernel" || break
    done
    [ -s "$tmp/kernel" ] || return 1
    sort "$tmp/selection" "$tmp/kernel" > "$apt/selection"
    for package in $packages; do
        grep -q "^${package}_" "$apt/selection" || die "failed to find the package \"$package\" for $arch"
    done
}

# apt_fetch downloads what the selection names and is not here yet; the names of
# what could not be had are left in missing.
apt_fetch() {
    apt_check
    if [ -n "$missing" ]; then
        (cd "$apt/debs" && apt-get download -q $missing) > "$apt/log" 2>&1 || :
        apt_check
    fi
    [ -z "$missing" ]
}

# apt_check puts into missing what is not here whole, as NAME=VERSION, and
# deletes what is not wanted.
apt_check() {
    missing=''
    while read -r file hash; do
        apt_intact "$file" "$hash" || missing="$missing $(apt_name "$file")"
    done < "$apt/selection"
    for file in "$apt"/debs/*; do
        grep -q -F "${file##*/} " "$apt/selection" || rm -rf "$file"
    done
}

# apt_intact FILE SHA256
apt_intact() {
    [ -f "$apt/debs/$1" ] || return 1
    [ "$(sha256sum < "$apt/debs/$1")" = "$2  -" ] || ! rm "$apt/debs/$1"
}

# apt_name FILE prints PACKAGE=VERSION for NAME_VERSION_ARCH.deb.
apt_name() {
    version=${1#*_}
    echo "${1%%_*}=${version%_*}" | sed 's/%3a/:/g'
}
