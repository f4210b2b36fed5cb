#!/usr/bin/env bash
# Makes an ISO that boots the kernel with Limine, under BIOS and under UEFI.
#
#   tools/iso.sh [--output FILE] [--image ELF] [--append TEXT] [--timeout SECONDS] [--now]
#
#   --output   where to put it (target/image/tocsin.iso)
#   --image    the kernel (target/image/tocsin.elf)
#   --append   added to the kernel command line of the first entry in limine.conf
#   --timeout  how long Limine shows its menu, instead of what limine.conf says
#   --now      passed on to tools/limine.sh, whose exit status this script keeps
#
# It prints one line, with what Limine it took. Any number may run at once.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "iso: $1" >&2
    exit 1
}

output=target/image/tocsin.iso
image=target/image/tocsin.elf
append=''
timeout=''
now=''
while [ $# -gt 0 ]; do
    case $1 in
    --now)
        now=yes
        shift
        continue
        ;;
    --output | --image | --append | --timeout) [ $# -ge 2 ] || fail "$1 needs a value" ;;
    *) fail "unknown argument '$1'; the top of tools/iso.sh lists them" ;;
    esac
    case $1 in
    --output) output=$2 ;;
    --image) image=$2 ;;
    --append) append=$2 ;;
    --timeout) timeout=$2 ;;
    esac
    shift 2
done
[ -f "$image" ] || fail "there is no kernel at $image; tools/build-kernel.sh makes it"
case $append in *$'\n'*) fail "a kernel command line is one line" ;; esac
case $timeout in *[!0-9]*) fail "--timeout is '$timeout'; it can be a number of seconds" ;; esac

limine=$(tools/limine.sh ${now:+--now})

mkdir -p target "$(dirname "$output")"
stage=$(mktemp -d target/iso.XXXXXX)
new=$output.$$
trap 'rm -rf "$stage" "$new"' EXIT
mkdir -p "$stage/root/boot/limine" "$stage/root/EFI/BOOT"
cp "$image" "$stage/root/boot/tocsin.elf"
cp "$limine/limine-bios.sys" "$limine/limine-bios-cd.bin" "$limine/limine-uefi-cd.bin" "$stage/root/boot/limine/"
if [ -f "$limine/LICENSE" ]; then cp "$limine/LICENSE" "$stage/root/boot/limine/"; fi
cp "$limine/BOOTX64.EFI" "$stage/root/EFI/BOOT/"

# Through the environment, because awk would take the backslashes out of arguments.
APPEND=$append TIMEOUT=$timeout awk '
    function add() {
        if (entry == 1 && append != "") print "    cmdline: " append
        append = ""
    }
    BEGIN { append = ENVIRON["APPEND"]; timeout = ENVIRON["TIMEOUT"] }
    /^timeout:/ && timeout != "" { $0 = "timeout: " timeout }
    entry == 1 && append != "" && /^ *cmdline:/ { $0 = $0 " " append; append = "" }
    # The first entry ends here without a command line of its own.
    entry == 1 && /^(\/| *$)/ { add() }
    /^\// { entry++ }
    { print }
    END { add() }
' limine.conf >"$stage/root/boot/limine/limine.conf"

# The recipe of Limine itself: El Torito images for BIOS and UEFI, and a
# partition table, so that UEFI boots it from a stick too.
xorriso -as mkisofs -R -r -J -b boot/limine/limine-bios-cd.bin -no-emul-boot -boot-load-size 4 \
    -boot-info-table --efi-boot boot/limine/limine-uefi-cd.bin -efi-boot-part --efi-boot-image \
    --protective-msdos-label "$stage/root" -o "$new" >"$stage/log" 2>&1 || {
    cat "$stage/log" >&2
    fail "xorriso cannot make $output"
}

version=$(LC_ALL=C grep -a -o 'Limine [0-9][0-9.]*' "$limine/limine-bios.sys" | head -n 1)
# A BIOS boots it from a stick only after Limine's own tool has been there; its
# parts must be of one version.
if command -v limine >/dev/null 2>&1 && [ "Limine $(limine version --version-only 2>/dev/null)" = "$version" ]; then
    limine bios-install "$new" >/dev/null 2>&1 || fail "limine bios-install cannot make $output boot from a stick"
fi
mv "$new" "$output"
echo "$output: $(($(wc -c <"$output") / 1024)) KiB, ${version:-Limine} from $limine, for BIOS and UEFI"
