#!/usr/bin/env bash
# Puts the released files of the Limine boot loader into target/limine. They come from
#
#   1. the directory LIMINE_DIR, if that is set: any version;
#   2. the git repository LIMINE_URL, if that is set: the pinned release;
#   3. /usr/share/limine, where distributions put them: any version;
#   4. Limine's own git repository: the pinned release, once.
#
# The pinned release is checked twice: its commit when it is fetched, and each
# file's SHA-256 (tools/limine.sha256) every time. Nothing of Limine is built here.
#
# Exit status: 0 the files are there; 1 LIMINE_DIR or LIMINE_URL cannot be
# used; 2 there is no Limine to be had. Only a failure, or a Limine that
# is not the pinned one, is worth a line, on standard error.
#
# An unreachable network costs five seconds, and the next hour nothing;
# with --now it is tried again at once.
set -eu
cd "$(dirname "$0")/.."

tag=v8.2.0-binary
commit=1dbdf77f82211c42969c7c5114377436fabc9187
upstream=https://github.com/limine-bootloader/limine.git
files=(limine-bios.sys limine-bios-cd.bin limine-uefi-cd.bin BOOTX64.EFI)
ready=target/limine
unreachable=target/limine-unreachable
new=target/limine.$$

say() { echo "limine: $*" >&2; }

# limit SECONDS COMMAND...: as timeout(1), which not every system has.
limit() {
    if command -v timeout >/dev/null 2>&1; then
        timeout "$@"
    else
        shift
        "$@"
    fi
}

# pinned DIRECTORY: whether the files there are those of the pinned release.
pinned() {
    local sum=(sha256sum)
    command -v sha256sum >/dev/null 2>&1 || sum=(shasum -a 256)
    (cd "$1" 2>/dev/null && "${sum[@]}" --check --status "$OLDPWD/tools/limine.sha256" 2>/dev/null)
}

# publish: makes $new the files that are ready. They belong together (the BIOS
# stages compare their build IDs), so they are replaced together.
publish() {
    if diff -rq "$new" "$ready" >/dev/null 2>&1; then
        rm -rf "$new"
        return
    fi
    rm -rf "$ready"
    mv "$new" "$ready"
}

# take DIRECTORY: copies the files there, whatever version they are. Says which
# one is missing if one is.
take() {
    local file
    mkdir -p "$new"
    for file in "${files[@]}"; do
        cp "$1/$file" "$new/" 2>/dev/null || { echo "$file"; return 1; }
    done
    # Whoever passes the ISO on passes on the licence of what is in it.
    cp "$1/LICENSE" "$new/" 2>/dev/null || true
}

# version: of the files that are ready.
version() {
    LC_ALL=C grep -a -o -m 1 'Limine [0-9][0-9.]*' "$1/limine-bios.sys" | head -n 1
}

# tell DIRECTORY: the version, where it is not the pinned one.
tell() {
    pinned "$ready" || say "using $(version "$ready") from $1, not the pinned ${tag%-binary}"
}

# fetch URL: gets the pinned release. Says what is wrong if something is.
fetch() {
    local repository=$new.git tip
    # No prompt for a password: no answer is an answer.
    export GIT_TERMINAL_PROMPT=0
    tip=$(limit 5 git ls-remote "$1" "refs/tags/$tag" 2>&1 </dev/null) || {
        echo "$(echo "$tip" | tail -n 1 | cut -c 1-120)"
        return 1
    }
    case $tip in
    "$commit"*) ;;
    '') echo "it has no tag $tag"; return 1 ;;
    *) echo "its tag $tag is not the pinned commit $commit"; return 1 ;;
    esac
    git init --quiet --bare "$repository"
    if ! limit 120 git -C "$repository" fetch --quiet --depth 1 "$1" "refs/tags/$tag" </dev/null 2>"$new.log"; then
        tail -n 1 "$new.log"
        return 1
    fi
    if [ "$(git -C "$repository" rev-parse FETCH_HEAD)" != "$commit" ]; then
        echo "it did not send the pinned commit $commit"
        return 1
    fi
    mkdir -p "$new"
    git -C "$repository" archive "$commit" "${files[@]}" LICENSE | tar -x -C "$new"
    pinned "$new" || { echo "its files are not those in tools/limine.sha256"; return 1; }
}

trap 'rm -rf "$new" "$new.git" "$new.log"' EXIT
mkdir -p target

if [ -n "${LIMINE_DIR:-}" ]; then
    if trouble=$(take "$LIMINE_DIR"); then
        publish
        tell "$LIMINE_DIR"
        exit 0
    fi
    say "LIMINE_DIR=$LIMINE_DIR has no $trouble; it must hold ${files[*]}"
    exit 1
fi

system=/usr/share/limine
if [ -z "${LIMINE_URL:-}" ] && take "$system" >/dev/null; then
    publish
    tell "$system"
    exit 0
fi
rm -rf "$new"

if pinned "$ready"; then exit 0; fi

if [ -z "${LIMINE_URL:-}" ] && [ "${1:-}" != --now ] &&
    [ -n "$(find "$unreachable" -mmin -60 2>/dev/null)" ]; then
    say "not to be had: $(cat "$unreachable")"
    exit 2
fi
if ! command -v git >/dev/null 2>&1; then
    say "not to be had: git is needed to fetch it"
    exit 2
fi
if trouble=$(fetch "${LIMINE_URL:-$upstream}"); then
    publish
    rm -f "$unreachable"
    exit 0
fi
if [ -n "${LIMINE_URL:-}" ]; then
    say "LIMINE_URL=$LIMINE_URL: $trouble"
    exit 1
fi
trouble="$upstream: ${trouble:-no answer in five seconds}"
echo "$trouble" >"$unreachable"
say "not to be had: $trouble"
exit 2
