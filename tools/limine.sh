#!/usr/bin/env bash
# Prints the directory that holds the released files of the Limine boot loader:
#
#   1. LIMINE_DIR, if that is set: any version;
#   2. a copy from the git repository LIMINE_URL, if that is set: the pinned release;
#   3. /usr/share/limine, where distributions put them: any version;
#   4. a copy from Limine's own git repository: the pinned release.
#
# A copy is kept in target/limine. It is checked twice: its commit when it is
# fetched, and each file's SHA-256 (tools/limine.sha256) every time. Nothing of
# Limine is built here.
#
# Exit status, with one line on standard error unless it is 0:
#   0  the files are there
#   1  LIMINE_DIR or LIMINE_URL cannot be used
#   2  there is no Limine to be had
#
# An unreachable network costs five seconds, and the next hour nothing;
# with --now it is tried again at once.
set -eu
cd "$(dirname "$0")/.."

tag=v8.2.0-binary
commit=1dbdf77f82211c42969c7c5114377436fabc9187
upstream=https://github.com/limine-bootloader/limine.git
# What the ISO takes. Whoever passes it on passes on the licence, too; a
# distribution keeps that elsewhere.
files=(limine-bios.sys limine-bios-cd.bin limine-uefi-cd.bin BOOTX64.EFI)
system=/usr/share/limine
copy=target/limine
new=target/limine.new.$$
unreachable=target/limine-unreachable

# end STATUS TEXT: says why there is no Limine.
end() {
    echo "limine: $2" >&2
    exit "$1"
}

# lacks DIRECTORY: prints the first file that it does not have; fails if it has all.
lacks() {
    local file
    for file in "${files[@]}"; do
        [ -f "$1/$file" ] || { echo "$file"; return; }
    done
    return 1
}

# pinned DIRECTORY: whether the files there are those of the pinned release.
pinned() {
    local sum=(sha256sum)
    command -v sha256sum >/dev/null 2>&1 || sum=(shasum -a 256)
    [ -d "$1" ] && (cd "$1" && "${sum[@]}" --check --status "$OLDPWD/tools/limine.sha256" 2>/dev/null)
}

# ask SECONDS GIT-ARGUMENT...: git without questions and with a limit; prints the
# reason if it fails.
ask() {
    local seconds=$1 limit=(timeout) reply status=0
    shift
    if command -v timeout >/dev/null 2>&1; then limit+=("$seconds"); else limit=(); fi
    reply=$(GIT_TERMINAL_PROMPT=0 ${limit[@]+"${limit[@]}"} git "$@" 2>&1 </dev/null) || status=$?
    case $status in
    0) printf '%s\n' "$reply" ;;
    124) echo "no answer in $seconds seconds"; return 1 ;;
    *)
        # The end of git's first complaint is the part that says what happened.
        reply=$(printf '%s\n' "$reply" | grep -m 1 '^fatal:' || echo "git failed with status $status")
        reply=${reply#fatal: }
        echo "${reply#unable to access *: }"
        return 1
        ;;
    esac
}

# fetch URL: makes the copy; prints the reason if it cannot.
fetch() {
    local tip
    tip=$(ask 5 ls-remote "$1" "refs/tags/$tag") || { echo "$tip"; return 1; }
    case $tip in
    "$commit"*) ;;
    '') echo "it has no tag $tag"; return 1 ;;
    *) echo "its tag $tag is not the pinned commit $commit"; return 1 ;;
    esac
    mkdir -p "$new"
    git init --quiet --bare "$new.git"
    ask 120 -C "$new.git" fetch --quiet --depth 1 "$1" "refs/tags/$tag" || return
    if [ "$(git -C "$new.git" rev-parse FETCH_HEAD)" != "$commit" ]; then
        echo "it did not send the pinned commit $commit"
        return 1
    fi
    git -C "$new.git" archive "$commit" "${files[@]}" LICENSE | tar -x -C "$new"
    pinned "$new" || { echo "its files are not those in tools/limine.sha256"; return 1; }
    rm -rf "$copy"
    mv "$new" "$copy"
}

case ${1:-} in
'' | --now) ;;
*) end 1 "unknown argument '$1'; it can be --now or nothing" ;;
esac

if [ -n "${LIMINE_DIR:-}" ]; then
    if file=$(lacks "$LIMINE_DIR"); then
        end 1 "LIMINE_DIR=$LIMINE_DIR has no $file; name a directory with ${files[*]}"
    fi
    echo "$LIMINE_DIR"
    exit 0
fi
if [ -z "${LIMINE_URL:-}" ] && ! lacks "$system" >/dev/null; then
    echo "$system"
    exit 0
fi
if pinned "$copy"; then
    echo "$copy"
    exit 0
fi

if [ -z "${LIMINE_URL:-}" ] && [ "${1:-}" != --now ] && [ -n "$(find "$unreachable" -mmin -60 2>/dev/null)" ]; then
    end 2 "$(cat "$unreachable")"
fi
command -v git >/dev/null 2>&1 || end 2 "git is needed to fetch Limine"
trap 'rm -rf "$new" "$new.git"' EXIT
mkdir -p target
if reason=$(fetch "${LIMINE_URL:-$upstream}"); then
    rm -f "$unreachable"
    echo "$copy"
elif [ -n "${LIMINE_URL:-}" ]; then
    end 1 "LIMINE_URL=$LIMINE_URL: $reason"
else
    echo "cannot be fetched: $reason" >"$unreachable"
    end 2 "$(cat "$unreachable")"
fi
