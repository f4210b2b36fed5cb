# shellcheck shell=bash
# Part of tools/setup.sh: what to type where it may not, or cannot, install packages itself.

# dnf_packages, pacman_packages and brew_packages NAME...: one line each per missing thing.
dnf_packages() {
    local name
    for name in "$@"; do
        case $name in
        cc) echo gcc ;;
        qemu) echo qemu-system-x86 ;;
        ovmf) echo edk2-ovmf ;;
        host-rust) echo rust cargo ;;
        kernel-clippy) echo clippy ;;
        kernel-rust) echo rust-std-static-x86_64-unknown-none ;;
        *) echo "$name" ;;
        esac
    done
}

pacman_packages() {
    local name
    for name in "$@"; do
        case $name in
        cc) echo gcc ;;
        qemu) echo qemu-system-x86 ;;
        ovmf) echo edk2-ovmf ;;
        xorriso) echo libisoburn ;;
        host-rust | rustfmt | clippy | kernel-clippy) echo rust ;;
        kernel-rust) echo rust-src ;;
        *) echo "$name" ;;
        esac
    done
}

brew_packages() {
    local name
    for name in "$@"; do
        case $name in
        cc) echo gcc ;;
        ovmf) echo qemu ;; # brings the firmware
        host-rust | kernel-rust | rustfmt | clippy | kernel-clippy) echo rustup ;;
        *) echo "$name" ;;
        esac
    done
}

# one_line: each word once.
one_line() {
    tr ' ' '\n' | sed '/^$/d' | awk '!seen[$0]++' | tr '\n' ' ' | sed 's/ $//'
}

# rustup_installer: for whom no package will do.
rustup_installer() {
    echo "curl https://sh.rustup.rs -sSf | sh -s -- -t x86_64-unknown-none"
}

# rustup_commands NAME...: prints what rustup can do about the missing ones, and
# leaves the others in `rest`.
rustup_commands() {
    local name
    rest=''
    for name in "$@"; do
        case $name in
        host-rust) echo "rustup update stable && rustup default stable" ;;
        kernel-rust) echo "rustup target add x86_64-unknown-none" ;;
        rustfmt | clippy) echo "rustup component add $name" ;;
        kernel-clippy) echo "rustup component add clippy" ;;
        lld) ;; # comes with the target
        *) rest="$rest $name" ;;
        esac
    done
}

# apt_commands NAME...: the steps that apt_install takes.
apt_commands() {
    local packages suite='' source line
    if [ -z "$(candidate make)" ]; then
        echo "sudo apt-get update"
        echo "$0    (again: apt knows of no packages yet)"
        return
    fi
    packages=$(packages_for "$@" | one_line)
    case " $packages " in *" $no_rust "*)
        rustup_installer
        packages=$(printf '%s' "$packages" | sed "s/$no_rust//" | one_line)
        ;;
    esac
    case " $* " in *" qemu "*)
        default_qemu_is_new || suite=$(newer_qemu)
        if ! default_qemu_is_new && [ -z "$suite" ] && source=$(backports_source); then
            suite=$(codename)-backports
            printf "printf '%%s\\\\n'"
            printf '%s\n' "$source" | while read -r line; do printf " '%s'" "$line"; done
            echo " | sudo tee $backports_file"
        fi
        ;;
    esac
    echo "sudo apt-get update"
    case " $* " in *" qemu "*) apt_command "$suite" qemu-system-x86 ;; esac
    [ -z "$packages" ] || apt_command '' "$packages"
}

# hint NAME...: the exact commands for this machine.
hint() {
    local rest=$*
    if command -v rustup >/dev/null 2>&1; then
        # shellcheck disable=SC2086
        set -- $rest
        rustup_commands "$@" >"$state/hint"
        cat "$state/hint"
        # shellcheck disable=SC2086
        set -- $rest
    fi
    [ $# -gt 0 ] || return
    if command -v apt-get >/dev/null 2>&1; then
        apt_commands "$@"
    elif command -v dnf >/dev/null 2>&1; then
        echo "sudo dnf install $(dnf_packages "$@" | one_line)"
    elif command -v pacman >/dev/null 2>&1; then
        echo "sudo pacman -S --needed $(pacman_packages "$@" | one_line)"
    elif command -v brew >/dev/null 2>&1; then
        echo "brew install $(brew_packages "$@" | one_line)"
        case " $* " in *-rust*) echo "rustup default stable && rustup target add x86_64-unknown-none" ;; esac
    else
        echo "(with this system's own package manager) $(describe "$@")"
    fi
}

# refuse NAME...: ends with the commands.
refuse() {
    local reason='this script installs packages on Debian and Ubuntu only; type'
    ! command -v apt-get >/dev/null 2>&1 ||
        reason='only root, or sudo without a password, lets this script install packages; type'
    {
        echo "setup: missing: $(describe "$@")"
        echo "setup: $reason"
        hint "$@" | sed 's/^/    /'
    } >&2
    exit 1
}
