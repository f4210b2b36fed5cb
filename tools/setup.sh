#!/usr/bin/env bash
# Finds what Tocsin needs to be built and run, and installs what is missing.
#
#   tools/setup.sh          for `make run`, `make test` and the rest
#   tools/setup.sh check    also what only `make check` needs (rustfmt, clippy)
#   tools/setup.sh test     also what only some tests need (Bochs), if it can be installed
#
# Root, or a user whose sudo asks no password, gets the missing packages
# installed on Debian and Ubuntu; everybody else gets the command to type.
# The answers are kept in target/setup/: `env` says which Rust builds the
# kernel, `seen` is a fingerprint of all that was found. While that still
# matches, this script says nothing and ends at once.
#
# KERNEL_RUST=target|build-std allows only one of the two ways to build the kernel.
set -u

cd "$(dirname "$0")/.." || exit 1
. tools/setup/find.sh
. tools/setup/apt.sh
. tools/setup/hints.sh

purpose=${1:-run}
state=target/setup
log=$state/setup.log
host_rust=1.88 # as rust-version in Cargo.toml
qemu_major=9   # the first with an x2APIC under TCG

case $purpose in
run | check | test) ;;
*)
    echo "setup: unknown argument '$purpose'; use 'check', 'test' or nothing" >&2
    exit 1
    ;;
esac
case ${KERNEL_RUST:-} in
'' | target | build-std) ;;
*)
    echo "setup: KERNEL_RUST is '$KERNEL_RUST'; it can be 'target' or 'build-std'" >&2
    exit 1
    ;;
esac

# say STEP TEXT...: one line of progress.
say() {
    local step=$1
    shift
    printf 'setup: %-9s %s\n' "$step" "$*"
}

# fail TEXT: the last word; nothing that follows could work.
fail() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

# fingerprint: what the answers depend on. A tool that is updated, removed or
# shadowed by another one changes it.
fingerprint() {
    printf '%s\n' "$PATH" "${QEMU:-}" "${OVMF:-}" "${KERNEL_RUST:-}" "${RUSTUP_TOOLCHAIN:-}"
    cat "$state/env"
    # -L: a link to a tool that changes counts as a change. So does a file that
    # is not there yet, and ls complains of.
    xargs ls -Lldi <"$state/files.$purpose" 2>&1 || true
}

# check_named: a file that a variable names must be used, so nothing is installed in its place.
check_named() {
    local version
    if [ -n "${OVMF:-}" ] && [ ! -f "$OVMF" ]; then
        fail "OVMF=$OVMF: there is no such file; name OVMF's code image, or leave OVMF unset"
    fi
    [ -n "${QEMU:-}" ] || return 0
    command -v "$QEMU" >/dev/null 2>&1 ||
        fail "QEMU=$QEMU: there is no such program; name a QEMU for x86-64, or leave QEMU unset"
    version=$(qemu_version "$QEMU")
    [ -n "$version" ] ||
        fail "QEMU=$QEMU: its --version does not begin with 'QEMU emulator version'; name a QEMU for x86-64, or leave QEMU unset"
    at_least "$version" "$qemu_major" ||
        say QEMU "QEMU=$QEMU is version $version; one before $qemu_major has no x2APIC without KVM"
}

mkdir -p "$state" || fail "cannot write to $state"
if [ -f "$state/seen.$purpose" ] && [ -f "$state/env" ] &&
    [ "$(fingerprint)" = "$(cat "$state/seen.$purpose")" ]; then
    exit 0
fi
check_named
rm -f "$state/seen.$purpose"

# rustup_add WHAT TEXT COMMAND...: one thing that rustup may be able to fetch.
rustup_add() {
    local what=$1 text=$2
    shift 2
    case " $missing " in *" $what "*) ;; *) return ;; esac
    say Rust "adding $text with rustup"
    if ! RUSTUP_MAX_RETRIES=1 limit 90 rustup "$@" >"$log" 2>&1; then
        say Rust "rustup cannot ($(sed -n 's/^error: //p' "$log" | head -n 1 | cut -c 1-160))"
    fi
}

# try_rustup: the cheapest way to what Rust lacks, where rustup is there.
try_rustup() {
    command -v rustup >/dev/null 2>&1 || return
    [ -n "$host_bin" ] || return
    [ "${KERNEL_RUST:-}" = build-std ] ||
        rustup_add kernel-rust "the target x86_64-unknown-none" target add x86_64-unknown-none
    rustup_add rustfmt rustfmt component add rustfmt
    rustup_add clippy clippy component add clippy
    probe
}

probe
[ -z "$missing" ] || try_rustup
case " $missing/${KERNEL_RUST:-}" in
*" kernel-rust"*/target) fail "no Rust here has the target x86_64-unknown-none, which KERNEL_RUST=target asks for" ;;
esac
if [ -n "$missing" ]; then
    # shellcheck disable=SC2086 # a list of names
    if command -v apt-get >/dev/null 2>&1 && can_be_root; then apt_install $missing; else refuse $missing; fi
    hash -r
    probe
    # shellcheck disable=SC2086
    [ -z "$missing" ] || fail "still missing after the installation: $(describe $missing)" "see $log"
fi
if [ "$purpose" = test ] && ! has_bochs && command -v apt-get >/dev/null 2>&1 && can_be_root; then
    # In a subshell, because a failure exits.
    # shellcheck disable=SC2086 # a list of packages
    (apt_install $bochs_packages) || say Bochs "cannot be installed; the tests that need it are skipped"
fi
record
