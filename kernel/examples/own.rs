//! A kernel with an allocator, a logger and a panic handler of its own.
//!
//! It is built without the library's features: `EXAMPLE=own tools/build-kernel.sh build
//! --no-default-features`. With them, the library has these parts.

#![no_std]
#![no_main]

use log::info;

tocsin::main!(kernel);

fn kernel(machine: &'static tocsin::Machine) -> ! {
    #[cfg(not(feature = "logger"))]
    log::set_logger(&own_logger::OwnLogger).expect("the library sets none");
    info!("{} CPUs in the MADT", machine.topology.cpus().len());
    panic!("the end");
}

/// Memory that is allocated once and never freed.
#[cfg(not(feature = "heap"))]
mod own_heap {
    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::UnsafeCell;
    use core::sync::atomic::{AtomicUsize, Ordering};

    const SIZE: usize = 16 << 20;

    #[repr(align(4096))]
    struct Heap {
        memory: UnsafeCell<[u8; SIZE]>,
        used: AtomicUsize,
    }

    // SAFETY: Each part of the memory is given out once.
    unsafe impl Sync for Heap {}

    #[global_allocator]
    static HEAP: Heap = Heap {
        memory: UnsafeCell::new([0; SIZE]),
        used: AtomicUsize::new(0),
    };

    // SAFETY: Blocks do not overlap, because `used` only grows, by at least the size and the
    // alignment.
    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let need = layout.size() + layout.align();
            let begin = self.used.fetch_add(need, Ordering::Relaxed);
            if begin + need > SIZE {
                return core::ptr::null_mut();
            }
            let start = self.memory.get().cast::<u8>().wrapping_add(begin);
            start.wrapping_add(start.align_offset(layout.align()))
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }
}

#[cfg(not(feature = "logger"))]
mod own_logger {
    use log::{Log, Metadata, Record};

    pub struct OwnLogger;

    impl Log for OwnLogger {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            tocsin::println!("own log: {}", record.args());
        }

        fn flush(&self) {}
    }
}

#[cfg(not(feature = "panic-handler"))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    tocsin::println!("own panic handler");
    tocsin::report_panic(info)
}
