#!/usr/bin/env bash
# Downloads Debian's Linux kernels and their headers for `make bench-peers`, below target/linux.
# It installs nothing, and needs no root.
#
#   tools/linux.sh [PACKAGE[/SUITE]...]
#
# A PACKAGE is a metapackage that depends on a kernel, as linux-image-rt-amd64. The default is the
# suite's own kernel, and the `cloud` and `rt` (PREEMPT_RT) kernels of its backports. A package that
# is unavailable is skipped with a message.
#
# It prints the variables for make.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "linux: $1" >&2
    exit 1
}

for program in apt-get dpkg-deb tar; do
    command -v "$program" >/dev/null || fail "there is no $program; this needs Debian or a derivative"
done
backports=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")-backports
[ $# -gt 0 ] || set -- linux-image-amd64 "linux-image-cloud-amd64/$backports" "linux-image-rt-amd64/$backports"

mkdir -p target/linux/packages
root=$PWD/target/linux/root
mkdir -p "$root"
# In a directory that another run may not change.
stage=$(mktemp -d target/linux/packages/XXXXXX)
trap 'rm -rf "$stage"' EXIT

# download PACKAGE[/SUITE]: prints the file's name.
download() {
    local name=${1%%/*}
    (cd "$stage" && apt-get -qq download "$1" >/dev/null 2>log) || return 1
    ls "$stage/${name}"_*.deb
}

kernels=''
headers=''
for meta in "$@"; do
    file=$(download "$meta") || {
        echo "linux: $meta: $(tail -n 1 "$stage/log"); skipped" >&2
        continue
    }
    image=$(dpkg-deb -f "$file" Depends | grep -o 'linux-image-[^ ,]*' | head -n 1)
    release=${image#linux-image-}
    [ -n "$release" ] || fail "$meta depends on no kernel"
    file=$(download "$image") || fail "$image: $(tail -n 1 "$stage/log")"
    dpkg-deb --fsys-tarfile "$file" | tar -x -C "$root" --wildcards './boot/vmlinuz-*'
    file=$(download "linux-headers-$release") || fail "linux-headers-$release: $(tail -n 1 "$stage/log")"
    for part in $(dpkg-deb -f "$file" Depends | grep -oE 'linux-(headers|kbuild)-[^ ,]*'); do
        other=$(download "$part") || fail "$part: $(tail -n 1 "$stage/log")"
        dpkg-deb -x "$other" "$root"
    done
    dpkg-deb -x "$file" "$root"
    # Debian's headers name their common part by its installed path.
    sed -i "s#^include /usr/src/#include $root/usr/src/#" "$root/usr/src/linux-headers-$release/Makefile"
    kernels=$kernels${kernels:+:}$root/boot/vmlinuz-$release
    headers=$headers${headers:+:}$root/usr/src/linux-headers-$release
done
[ -n "$kernels" ] || fail 'no kernel can be downloaded; `apt-get update` may help'
echo "LINUX_KERNEL=$kernels LINUX_HEADERS=$headers"
