# Each target sets up what it needs; the work is done by the
# scripts in tools/ and by tocsin-tools. Variables reach those through the
# environment (make passes on what it is given), where no shell takes their
# quotes apart; they are checked there, and have their defaults there.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The kernels that the tests boot.
examples := smallest typewriter deadlocks contexts commands rejected
tools := tools/cargo.sh run --quiet --package tocsin-tools --
benches := tools/cargo.sh run --quiet --package tocsin-benches --
# All but the kernel, which builds for its own target only.
host := --workspace --exclude tocsin --exclude tocsin-monitor

.PHONY: help setup build run test soak bench bench-check bench-accept bench-peers check iso debug doc clean

help: ## This list
	@echo 'Tocsin: a multiprocessor interrupt kernel for x86-64'
	@echo
	@echo 'make TARGET [VARIABLE=value ...]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' Makefile | awk -F '|' '{ printf "%-15s%s\n", $$1, $$2 }'
	@echo
	@sed -n 's/^#: //p' Makefile | awk -F '  +' '{ printf "  %-14s %-8s %s\n", $$1, $$2, $$3 }'

#: Variable  Default  Meaning
#: SMP  4  CPUs, or QEMU's -smp value: SMP=6,sockets=2,cores=3
#: MEM  512M  memory
#: MACHINE  q35  QEMU's machine: q35, pc
#: CPU  max  QEMU's CPU model
#: ACCEL  auto  tcg, kvm, or auto: KVM where it is real
#: BOOT  auto  limine, limine-uefi, direct, or auto: limine if its files are available
#: APPEND  -  kernel command line: APPEND='run="memory; poweroff"'
#: QEMU_ARGS  -  more arguments for QEMU
#: GDB  1234  debug: the TCP port or the socket's path for gdb
#: FILTER  -  test: only those whose name contains this
#: MINUTES  10  soak: the duration
#: SEED  -  soak: the number of the first machine
#: BENCH  -  bench: only metrics with these prefixes: BENCH=self_ipi,call.wait
#: MODE  both  bench: cycles, instructions, both
#: ROUNDS  5  bench: the number of boots of each machine in cycles
#: COMPARE  -  bench: a results.json to compare with
#: KUT_DIR  -  bench-peers: a built kvm-unit-tests
#: LINUX_KERNEL  -  bench-peers: bzImages, as /boot/vmlinuz-6.1.0-amd64; tools/linux.sh downloads some
#: LINUX_HEADERS  -  bench-peers: their headers, for what only a module can measure
#: EXAMPLE  -  build and run a kernel of kernel/examples or kernel/monitor/examples: EXAMPLE=typewriter
#: PROFILE  release  how the kernel is built: release, dev
#: QEMU  -  the QEMU to use instead of qemu-system-x86_64
#: OVMF  -  the UEFI firmware file to use
#: LIMINE_DIR  -  a directory with Limine's released files
#: LIMINE_URL  -  the git repository to fetch Limine from
#: KERNEL_RUST  -  only this way to build the kernel: target, build-std

setup: ## Find or install what is missing; the other targets do it too
	@tools/setup.sh

build: setup ## Build the kernel: target/image/tocsin.elf
	@tools/build-kernel.sh

run: build ## Boot to the prompt; Ctrl-A X leaves. The kernel's status N is shown as "Error N"
	@$(tools) run

test: build ## Run all tests, on the host and on a matrix of machines
	@tools/setup.sh test
	@for name in $(examples); do EXAMPLE=$$name tools/build-kernel.sh || exit; done
	@EXAMPLE=own tools/build-kernel.sh build --no-default-features
	@$(tools) test $${FILTER:+"$$FILTER"}

soak: build ## Boot random machines on which everything interrupts, for MINUTES
	@tools/cargo.sh run --quiet --package tocsin-tests --bin soak

bench: build ## Measure what interrupts cost; writes target/bench/report.html, results.json and results.csv
	@$(benches) suite

bench-check: build ## Count instructions, and fail if they exceed benches/baseline.json
	@$(benches) check

bench-accept: build ## Count instructions, and write them to benches/baseline.json
	@$(benches) accept

bench-peers: build ## Measure other kernels alternately with this one: KUT_DIR=, LINUX_KERNEL=
	@$(benches) peers

check: ## Format, lints, documentation and host tests: what to run before a commit
	@tools/setup.sh check
	@tools/cargo.sh fmt --all --check
	@tools/cargo.sh clippy --quiet $(host) --all-targets -- -D warnings
	@tools/build-kernel.sh clippy -- -D warnings
	@RUSTDOCFLAGS='-D warnings' tools/cargo.sh doc --quiet --no-deps $(host)
	@RUSTDOCFLAGS='-D warnings' tools/build-kernel.sh doc
	@tools/cargo.sh test --quiet $(host) --exclude tocsin-tests
	@tools/cargo.sh test --quiet --package tocsin-tests --test source
	@if command -v typos >/dev/null; then typos; else echo 'typos: not installed, skipped'; fi
	@if command -v cargo-deny >/dev/null; then cargo deny --log-level error check; else echo 'cargo-deny: not installed, skipped'; fi

iso: build ## Make the bootable ISO: target/image/tocsin.iso
	@tools/iso.sh --now --append "$${APPEND:-}"

debug: build ## Boot, wait for gdb, and print the command that starts it
	@$(tools) run --debug

doc: setup ## Make the documentation
	@tools/cargo.sh doc --quiet --no-deps $(host)
	@tools/build-kernel.sh doc
	@echo 'target/doc/tocsin_logic/index.html'
	@echo 'target/kernel/x86_64-unknown-none/doc/tocsin/index.html'

clean: ## Remove everything that was built or fetched
	@rm -rf target
