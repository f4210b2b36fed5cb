# shellcheck shell=bash
# Part of tools/setup.sh: installs packages on Debian and Ubuntu, all of them or none.

backports_file=/etc/apt/sources.list.d/tocsin-backports.sources
backports_added=''
no_rust=no-new-enough-rust # stands for the packages that a release does not have
new_packages=''

# as_root COMMAND...: through sudo where we are not root; can_be_root has been asked before.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

can_be_root() {
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

# apt COMMAND...: apt-get that asks nothing, waits for other installers and gives up on dead servers.
apt() {
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C apt-get \
        -o DPkg::Lock::Timeout=600 -o Acquire::Retries=2 \
        -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20 "$@" </dev/null >>"$log" 2>&1
}

# apt_update OPTION...: apt waits for dpkg's lock but not for that of its lists.
apt_update() {
    local try
    for try in $(seq 60); do
        apt -o APT::Update::Error-Mode=any "$@" update && return
        tail -n 5 "$log" | grep -q 'lists/lock' || return
        [ "$try" != 1 ] || say packages "waiting for another apt to finish"
        sleep 5
    done
    return 1
}

# apt_complaint: apt's last error or warning, without its letter.
apt_complaint() {
    sed -n 's/^[EW]: //p' "$log" | grep -v 'Some index files' | tail -n 1 | cut -c 1-160
}

# candidate PACKAGE: the version that apt would install, or nothing.
candidate() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p'
}

# upstream VERSION: a package's version without epoch and revision.
upstream() {
    printf '%s' "$1" | sed 's/^[0-9]*://; s/[^0-9.].*//'
}

# rust_packages: the packages of the first Rust that is new enough, as "compiler
# cargo library-sources rustfmt clippy"; nothing where the release has none.
rust_packages() {
    local versioned
    if at_least "$(upstream "$(candidate rustc)")" "$host_rust"; then
        echo rustc cargo rust-src rustfmt rust-clippy
    elif at_least "$(upstream "$(candidate rustc-web)")" "$host_rust"; then
        # The newer Rust that Debian keeps to build its web browsers.
        echo rustc-web cargo-web rust-web-src rustfmt-web rust-web-clippy
    else
        versioned=$(apt-cache pkgnames rustc-1. 2>/dev/null | grep -E '^rustc-1\.[0-9]+$' | sort -V | tail -n 1)
        versioned=${versioned#rustc-}
        at_least "$versioned" "$host_rust" || return
        echo "rustc-$versioned" "cargo-$versioned" "rust-$versioned-src" \
            "rustfmt-$versioned" "rust-$versioned-clippy"
    fi
}

# newer_qemu: the suite in apt's sources that has a new enough QEMU, if it is not the default.
newer_qemu() {
    local version place suite
    apt-cache madison qemu-system-x86 2>/dev/null | while IFS='|' read -r _ version place; do
        version=${version# }
        at_least "$(upstream "$version")" "$qemu_major" || continue
        suite=${place% Packages}
        suite=${suite#* }
        suite=${suite#* }
        echo "${suite%%/*}"
        break
    done
}

# codename: of the release, such as bookworm.
codename() {
    sed -n 's/^VERSION_CODENAME=//p' /etc/os-release
}

# backports_source: an apt source of the release's backports, on the server that
# the machine takes the release itself from.
backports_source() {
    local line uri component entry key
    line=$(apt-get indextargets --format '$(RELEASE) $(COMPONENT) $(REPO_URI) $(SOURCESENTRY)' \
        'Created-By: Packages' 2>/dev/null | grep "^$(codename) main " | head -n 1)
    [ -n "$line" ] || return
    read -r _ component uri entry <<<"$line"
    printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: %s\n' "$uri" "$(codename)" "$component"
    # The key that the release's own entry names, in either format of source file.
    key=$(sed -n 's/.*[Ss]igned-[Bb]y[:=] *\(\/[^] ,]*\).*/\1/p' "${entry%:*}" | head -n 1)
    [ -z "$key" ] || echo "Signed-By: $key"
}

# add_backports: makes the backports known to apt, for QEMU alone: their packages
# are never taken unless asked for. Fails where the release has none.
add_backports() {
    local text
    text=$(backports_source)
    [ -n "$text" ] || return
    say packages "adding $(codename)-backports to apt's sources ($backports_file)"
    backports_added=yes
    printf '%s\n' "$text" | as_root tee "$backports_file" >/dev/null || give_up "cannot write $backports_file"
    if ! apt_update -o Dir::Etc::sourcelist="$backports_file" -o Dir::Etc::sourceparts=/dev/null \
        -o APT::Get::List-Cleanup=0; then
        tail -n 5 "$log" | grep -q 'does not have a Release file' || give_up "apt cannot read the backports"
        return 1
    fi
}

remove_backports() {
    [ -n "$backports_added" ] || return
    as_root rm -f "$backports_file"
    backports_added=''
}

# default_qemu_is_new: whether a plain `apt-get install` gets a QEMU that will do.
default_qemu_is_new() {
    at_least "$(upstream "$(candidate qemu-system-x86)")" "$qemu_major"
}

# packages_for NAME...: the Debian packages for what is missing, but for QEMU.
packages_for() {
    local name rust
    rust=$(rust_packages)
    rust=${rust:-$no_rust}
    for name in "$@"; do
        case $name in
        qemu) ;;
        cc) echo gcc libc6-dev ;;
        host-rust | kernel-rust) echo "$rust" | cut -d ' ' -f 1-3 ;;
        rustfmt) echo "$rust" | cut -d ' ' -f 4 ;;
        clippy | kernel-clippy) echo "$rust" | cut -d ' ' -f 5 ;;
        *) echo "$name" ;;
        esac
    done
    # git and cargo fetch over HTTPS, and only recommend this.
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
}

# undo: takes back what a failed installation left behind.
undo() {
    local package there=''
    for package in $new_packages; do
        if dpkg-query -W "$package" >/dev/null 2>&1; then there="$there $package"; fi
    done
    if [ -n "$there" ]; then
        say packages "taking back what was installed so far"
        # shellcheck disable=SC2086 # a list of packages; nothing that stays needs any of them
        as_root dpkg --purge --force-depends $there >>"$log" 2>&1
        as_root dpkg --configure -a >>"$log" 2>&1
    fi
    remove_backports
}

# give_up TEXT...: shows apt's last words, undoes, and ends.
give_up() {
    echo "setup: apt's last words ($log has all of them):" >&2
    tail -n 15 "$log" | sed 's/^/    /' >&2
    undo
    fail "$@"
}

# plan SUITE PACKAGE...: whether apt can install them, and what would come with
# them. SUITE may be empty. Nothing changes yet.
plan() {
    local text removed suite=$1
    shift
    text=$(LC_ALL=C apt-get -s install --no-install-recommends ${suite:+-t "$suite"} "$@" 2>&1) || {
        printf '%s\n' "$text" >>"$log"
        give_up "apt cannot install $*"
    }
    removed=$(printf '%s\n' "$text" | sed -n 's/^Remv \([^ ]*\).*/\1/p' | one_line)
    if [ -n "$removed" ]; then
        undo
        fail "apt would remove $removed" "if that is right, type: $(apt_command "$suite" "$@")"
    fi
    # What is upgraded has its old version in brackets; what is new has not.
    new_packages="$new_packages $(printf '%s\n' "$text" | sed -n 's/^Inst \([^ ]*\) (.*/\1/p' | one_line)"
}

# install SUITE PACKAGE...: what plan found possible.
install() {
    local suite=$1
    shift
    say packages "installing $*${suite:+ from $suite}"
    apt install -y --no-install-recommends --no-remove ${suite:+-t "$suite"} "$@" || give_up "apt failed"
}

# qemu_suite: sets `suite` to where a new enough QEMU is; empty if it is where everything is.
qemu_suite() {
    suite=''
    ! default_qemu_is_new || return 0
    suite=$(newer_qemu)
    [ -z "$suite" ] || return 0
    if add_backports; then suite=$(newer_qemu); fi
    [ -z "$suite" ] || return 0
    remove_backports
    say packages "this release has no QEMU $qemu_major; an older one has no x2APIC without KVM"
    touch "$state/old-qemu"
}

# apt_install NAME...: installs what is missing.
apt_install() {
    local suite='' qemu='' packages who=root
    [ "$(id -u)" = 0 ] || who=sudo
    : >"$log"
    trap 'give_up interrupted' INT TERM HUP
    say packages "updating apt's lists as $who"
    apt_update || say packages "apt cannot update all its lists ($(apt_complaint)); going on"
    case " $* " in *" qemu "*)
        qemu="qemu-system-x86"
        qemu_suite
        ;;
    esac
    packages=$(packages_for "$@" | one_line)
    case " $packages " in *" $no_rust "*)
        undo
        fail "this release's packages have no Rust $host_rust or later; take it from https://rustup.rs:" \
            "    $(rustup_installer)"
        ;;
    esac
    [ -z "$qemu" ] || plan "$suite" "$qemu"
    # shellcheck disable=SC2086 # a list of packages, here and below
    [ -z "$packages" ] || plan '' $packages
    [ -z "$qemu" ] || install "$suite" "$qemu"
    # shellcheck disable=SC2086
    [ -z "$packages" ] || install '' $packages
    trap - INT TERM HUP
}

# apt_command SUITE PACKAGE...: what a person would type.
apt_command() {
    local suite=$1
    shift
    echo "sudo apt-get install --no-install-recommends${suite:+ -t $suite} $*"
}
