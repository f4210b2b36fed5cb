# For gdb, which `make debug` tells how to start:
#
#     gdb -ex 'target remote :1234' -x tools/tocsin.gdb target/kernel/x86_64-unknown-none/release/tocsin
#
# The machine waits before its first instruction; this runs it to the kernel's
# first line of Rust, whichever way it boots, and stops wherever a fault or a
# panic is about to be reported.

set confirm off
set pagination off
set print pretty on
set disassembly-flavor intel

# Only the processor's own breakpoints hold before the kernel is loaded: one in
# memory would be overwritten with it.
hbreak *kernel_start
hbreak tocsin::cpu::exceptions::handle
hbreak tocsin::panic::report::panic
continue
