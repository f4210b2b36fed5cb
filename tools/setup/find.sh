# shellcheck shell=bash
# Part of tools/setup.sh: finds the tools that are there and names those that are not.
# It looks only; tools/setup/apt.sh is what changes the machine.

# limit SECONDS COMMAND...: runs a command that may hang on a dead network.
limit() {
    if command -v timeout >/dev/null 2>&1; then
        timeout "$@"
    else
        shift
        "$@"
    fi
}

# at_least VERSION MINIMUM: both dotted numbers.
at_least() {
    [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

# rust_version RUSTC: its dotted version, or nothing.
rust_version() {
    "$1" --version 2>/dev/null | sed -n 's/^rustc \([0-9.]*\).*/\1/p'
}

# rust_bins: every directory that could hold a rustc and a cargo, best first. The
# first is where the user's own `rustc` is; a proxy of rustup's is resolved, so
# that its toolchain can be looked at.
rust_bins() {
    local sysroot dir
    if sysroot=$(rustc --print sysroot 2>/dev/null); then
        echo "$sysroot/bin"
    fi
    echo /usr/bin
    # Ubuntu's versioned packages: rustc-1.89 and the like.
    for dir in /usr/lib/rust-1.*/bin; do echo "$dir"; done | sort -rV
}

# kernel_way SYSROOT: how the Rust there can build the kernel, or nothing.
kernel_way() {
    if [ "${KERNEL_RUST:-target}" = target ] &&
        ls "$1"/lib/rustlib/x86_64-unknown-none/lib/libcore-*.rlib >/dev/null 2>&1; then
        echo target
    elif [ "${KERNEL_RUST:-build-std}" = build-std ] &&
        [ -f "$1/lib/rustlib/src/rust/library/core/src/lib.rs" ]; then
        echo build-std
    fi
}

# probe_rust: sets host_bin (where the Rust for the host's tools is), and
# kernel_mode, kernel_bin and kernel_linker (what builds the kernel); empty if
# there is none. An installed target is preferred to every build of the library.
probe_rust() {
    local dir root way
    host_bin='' kernel_mode='' kernel_bin='' kernel_linker=''
    rust_bins >"$state/bins"
    while read -r dir; do
        [ -x "$dir/rustc" ] || continue
        [ -x "$dir/cargo" ] || continue
        at_least "$(rust_version "$dir/rustc")" "$host_rust" || continue
        host_bin=${host_bin:-$dir}
        root=$("$dir/rustc" --print sysroot)
        way=$(kernel_way "$root")
        [ -n "$way" ] || continue
        [ -z "$kernel_mode" ] || [ "$way" = target ] || continue
        kernel_mode=$way
        kernel_bin=$dir
        kernel_linker=''
        ls "$root"/lib/rustlib/*/bin/rust-lld >/dev/null 2>&1 || kernel_linker=ld.lld
        [ "$way" = build-std ] || break
    done <"$state/bins"
}

# ovmf_file: UEFI firmware for x86-64, wherever the distributions put it.
ovmf_file() {
    local file
    for file in "${OVMF:-}" /usr/share/OVMF/OVMF_CODE.fd /usr/share/OVMF/OVMF_CODE_4M.fd \
        /usr/share/ovmf/OVMF.fd /usr/share/edk2/ovmf/OVMF_CODE.fd \
        /usr/share/edk2/x64/OVMF_CODE.4m.fd /usr/share/edk2-ovmf/x64/OVMF_CODE.fd \
        /usr/share/qemu/edk2-x86_64-code.fd /usr/local/share/qemu/edk2-x86_64-code.fd \
        /opt/homebrew/share/qemu/edk2-x86_64-code.fd; do
        if [ -n "$file" ] && [ -f "$file" ]; then
            echo "$file"
            return
        fi
    done
    return 1
}

# qemu_version BINARY: dotted, or nothing.
qemu_version() {
    "$1" --version 2>/dev/null | sed -n 's/^QEMU emulator version \([0-9.]*\).*/\1/p'
}

# has_bochs: whether the second emulator is installed.
bochs_packages='bochs bochsbios vgabios'
has_bochs() {
    command -v bochs-bin >/dev/null 2>&1
}

# want NAME TOOL: adds NAME to the missing ones where TOOL cannot be run.
want() {
    local path
    if path=$(command -v "$2" 2>/dev/null); then
        files="$files $path"
    else
        missing="$missing $1"
    fi
}

# probe: sets `missing` to the names of what is not there, `files` to what is.
probe() {
    local file
    missing='' files=''
    want make make
    want cc cc
    want git git
    want xorriso xorriso
    want qemu "${QEMU:-qemu-system-x86_64}"
    qemu_found=$(qemu_version "${QEMU:-qemu-system-x86_64}")
    case " $missing " in *" qemu "*) ;; *)
        [ -n "${QEMU:-}" ] || at_least "$qemu_found" "$qemu_major" || [ -f "$state/old-qemu" ] ||
            missing="$missing qemu"
        ;;
    esac
    if file=$(ovmf_file); then files="$files $file"; else missing="$missing ovmf"; fi
    probe_rust
    [ -n "$host_bin" ] || missing="$missing host-rust"
    [ -n "$kernel_mode" ] || missing="$missing kernel-rust"
    if [ "$kernel_linker" = ld.lld ] || [ -z "$kernel_mode" ]; then want lld ld.lld; fi
    if [ "$purpose" = check ]; then
        [ -x "${host_bin:-/usr/bin}/cargo-fmt" ] || missing="$missing rustfmt"
        [ -x "${host_bin:-/usr/bin}/cargo-clippy" ] || missing="$missing clippy"
        [ -x "${kernel_bin:-/usr/bin}/cargo-clippy" ] || missing="$missing kernel-clippy"
    fi
    ! has_bochs || files="$files $(command -v bochs-bin)"
    missing=${missing# }
}

# describe NAME...: the same names for a person.
describe() {
    local name text=''
    for name in "$@"; do
        case $name in
        cc) name='a C linker (cc)' ;;
        qemu)
            name="QEMU $qemu_major or later"
            [ -z "$qemu_found" ] || name="$name (found $qemu_found)"
            ;;
        ovmf) name='OVMF' ;;
        lld) name='ld.lld' ;;
        host-rust) name="Rust $host_rust or later" ;;
        kernel-clippy) name='clippy beside the Rust for the kernel' ;;
        kernel-rust) name='Rust for x86_64-unknown-none' ;;
        esac
        text="$text, $name"
    done
    printf '%s' "${text#, }"
}

# record: leaves the answers for the build, and the fingerprint for the next call.
record() {
    local root own new=$state/env.$$
    own=$(rustc --print sysroot 2>/dev/null)/bin
    # The user's own Rust needs no mention: it is what PATH finds.
    [ "$host_bin" != "$own" ] || host_bin=''
    {
        echo "# Written by tools/setup.sh; read by tools/cargo.sh and tools/build-kernel.sh."
        printf 'HOST_BIN=%q\nKERNEL_MODE=%q\nKERNEL_BIN=%q\nKERNEL_LINKER=%q\n' \
            "$host_bin" "$kernel_mode" "$kernel_bin" "$kernel_linker"
    } >"$new"
    cmp -s "$new" "$state/env" || cp "$new" "$state/env"
    rm -f "$new"
    root=$("$kernel_bin/rustc" --print sysroot)
    {
        # shellcheck disable=SC2086 # a list of paths; none of the tools has a space in its path
        printf '%s\n' $files "${host_bin:-$own}"/{cargo,rustc} "$kernel_bin/rustc"
        case $kernel_mode in
        target) echo "$root/lib/rustlib/x86_64-unknown-none/lib" ;;
        build-std) echo "$root/lib/rustlib/src/rust/library" ;;
        esac
        # What rustup's proxies stand for is written here.
        printf '%s\n' "${RUSTUP_HOME:-$HOME/.rustup}/settings.toml" tools/setup.sh tools/setup/*.sh
    } >"$state/files.$purpose"
    fingerprint >"$state/seen.$purpose"
}
