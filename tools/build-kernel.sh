#!/usr/bin/env bash
# Builds the kernel with the Rust that tools/setup.sh chose, and from it the image to boot:
#
#   tools/build-kernel.sh           target/image/tocsin.elf
#   tools/build-kernel.sh clippy    lints the kernel's code instead
#   tools/build-kernel.sh doc       makes its documentation instead
#
# PROFILE=dev builds without optimisation and with all checks. EXAMPLE=name builds
# kernel/examples/name.rs, or kernel/monitor/examples/name.rs, instead, to target/image/name.elf. IMAGE names
# another file for the image. Further arguments go to cargo.
set -eu
cd "$(dirname "$0")/.."

if [ ! -f target/setup/env ]; then tools/setup.sh; fi
# shellcheck source=/dev/null # written by setup.sh
. target/setup/env

command=build
if [ $# -gt 0 ]; then
    command=$1
    shift
fi
profile=${PROFILE:-release}
case $profile in
release) folder=release ;;
dev) folder=debug ;;
*)
    echo "build-kernel: PROFILE is '$profile'; it can be 'release' or 'dev'" >&2
    exit 1
    ;;
esac

name=tocsin
built=tocsin
product=(--package tocsin-monitor --bin tocsin)
if [ -n "${EXAMPLE:-}" ]; then
    if [ -f "kernel/examples/$EXAMPLE.rs" ]; then
        package=tocsin
    elif [ -f "kernel/monitor/examples/$EXAMPLE.rs" ]; then
        package=tocsin-monitor
    else
        echo "build-kernel: there is no kernel/examples/$EXAMPLE.rs; EXAMPLE can be:" >&2
        ls kernel/examples kernel/monitor/examples | sed -n 's/^\(.*\)\.rs$/    \1/p' >&2
        exit 1
    fi
    name=$EXAMPLE
    built=examples/$EXAMPLE
    product=(--package "$package" --example "$EXAMPLE")
fi

target=x86_64-unknown-none
options=(--quiet --target "$target" --profile "$profile")
case $command in
build) options+=("${product[@]}") ;;
clippy)
    options+=(--bins --lib --examples)
    ;;
doc) options+=(--package tocsin --package tocsin-monitor --lib --no-deps) ;;
*)
    echo "build-kernel: unknown command '$command'; it can be 'clippy', 'doc' or nothing" >&2
    exit 1
    ;;
esac

(
    # These would replace what .cargo/config.toml says, and the kernel would not
    # link where it runs.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_BUILD_TARGET RUSTC
    export PATH="$KERNEL_BIN:$PATH" CARGO_TARGET_DIR=target/kernel
    if [ -n "$KERNEL_LINKER" ]; then export CARGO_TARGET_X86_64_UNKNOWN_NONE_LINKER=$KERNEL_LINKER; fi
    if [ "$KERNEL_MODE" = build-std ]; then
        # Lets a stable compiler build its own library; the kernel's source uses no unstable feature.
        export RUSTC_BOOTSTRAP=1
        options+=('-Zbuild-std=core,alloc' -Zbuild-std-features=compiler-builtins-mem)
    fi
    if [ "$command" = clippy ]; then
        # The library by itself: with the monitor it has more features.
        cargo clippy --package tocsin "${options[@]}" "$@"
        options+=(--package tocsin-monitor)
    fi
    exec cargo "$command" "${options[@]}" "$@"
)

if [ "$command" = build ]; then
    tools/cargo.sh run --quiet --package tocsin-tools -- \
        strip "target/kernel/$target/$folder/$built" "${IMAGE:-target/image/$name.elf}"
fi
