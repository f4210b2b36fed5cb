//! Per-CPU variables, found through the CPU's GS base.
//!
//! [`cpu_local!`](crate::cpu_local!) declares a variable of which each CPU has a copy. The linker
//! collects the initial values in one section, the template. Each CPU has an area with a copy of
//! the template, and its GS base is the distance from the template to its area. So the copy of a
//! variable is at `gs:[variable]`, which the entry code accesses with a single instruction, and
//! every module declares its own variables.
//!
//! Rejected: one struct with all variables, because its module would depend on all features.

use core::arch::asm;
use core::cell::UnsafeCell;

use alloc::alloc::{Layout, alloc, handle_alloc_error};
use x86_64::VirtAddr;
use x86_64::registers::model_specific::GsBase;

/// A variable of which each CPU has a copy. Made by [`cpu_local!`](crate::cpu_local!).
///
/// In its own cache lines, because other CPUs may write to it.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct CpuLocal<T> {
    /// The initial value. Not accessed except to copy it.
    initial: UnsafeCell<T>,
}

// SAFETY: The initial value is never accessed as a `T`, and the copies are accessed only through
// shared references.
unsafe impl<T: Sync> Sync for CpuLocal<T> {}

/// The greatest alignment of a variable, and the alignment of the areas.
const ALIGNMENT: usize = 64;

impl<T: Sync> CpuLocal<T> {
    /// A variable with this initial value.
    ///
    /// Context: any.
    ///
    /// # Safety
    ///
    /// It must be a static in the section `.cpu_local`.
    #[doc(hidden)]
    #[must_use]
    pub const unsafe fn new(initial: T) -> Self {
        const { assert!(align_of::<T>() <= ALIGNMENT, "too large an alignment") };
        let initial = UnsafeCell::new(initial);
        Self { initial }
    }

    /// The copy of this CPU.
    ///
    /// Context: any.
    #[inline]
    #[must_use]
    pub fn of(&'static self, cpu: PerCpu) -> &'static T {
        let address = self.initial.get().addr().wrapping_add(cpu.offset);
        // SAFETY: The variable is in the template (`new`), so its copy is in the CPU's area, which
        // is never freed. Only shared references to the copy exist.
        unsafe { &*core::ptr::with_exposed_provenance(address) }
    }

    /// The copy of the CPU that runs this code. A thread that may move to another CPU must not keep
    /// the reference across the move.
    ///
    /// Context: any.
    #[inline]
    #[must_use]
    pub fn here(&'static self) -> &'static T {
        self.of(current())
    }
}

/// Declares variables of which each CPU has a copy, of types that are `Sync`:
///
/// ```no_run
/// # #![no_std]
/// use core::sync::atomic::{AtomicU32, Ordering};
///
/// tocsin::cpu_local! {
///     /// The number of keys that this CPU has received.
///     static KEYS: AtomicU32 = AtomicU32::new(0);
/// }
///
/// fn count_key() {
///     KEYS.here().fetch_add(1, Ordering::Relaxed);
/// }
/// ```
#[macro_export]
macro_rules! cpu_local {
    ($($(#[$attribute:meta])* $visibility:vis static $name:ident: $type:ty = $initial:expr;)+) => {
        $(
            $(#[$attribute])*
            #[allow(unsafe_code, reason = "the attribute and the condition belong together")]
            #[unsafe(link_section = ".cpu_local")]
            $visibility static $name: $crate::cpu_local::CpuLocal<$type> = {
                let initial: $type = $initial;
                // SAFETY: It is a static in this section.
                unsafe { $crate::cpu_local::CpuLocal::new(initial) }
            };
        )+
    };
}

/// The area of per-CPU variables of one CPU. [`CpuLocal::of`] finds a variable in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerCpu {
    /// The distance from the template to the area, in bytes.
    offset: usize,
}

/// The facts about a CPU that never change.
#[repr(C)]
#[derive(Debug)]
struct Identity {
    area: PerCpu,
    number: u32,
}

/// A value that is written before its area is used.
#[repr(transparent)]
#[derive(Debug)]
struct Written<T>(UnsafeCell<T>);

// SAFETY: It is not written any more when other code uses it.
unsafe impl<T: Sync> Sync for Written<T> {}

cpu_local! {
    static IDENTITY: Written<Identity> = Written(UnsafeCell::new(Identity {
        area: PerCpu { offset: 0 },
        number: 0,
    }));
}

unsafe extern "C" {
    /// The template, and the area of the boot CPU (link.ld).
    static cpu_local_start: [u8; 0];
    static cpu_local_end: [u8; 0];
    static boot_cpu_local: Written<[u8; 0]>;
}

/// The size of the template and of each area, in bytes.
fn size() -> usize {
    (&raw const cpu_local_end).addr() - (&raw const cpu_local_start).addr()
}

impl PerCpu {
    /// Makes `area` the area of CPU number `number`.
    ///
    /// # Safety
    ///
    /// The area must have [`size`] bytes with an alignment of [`ALIGNMENT`], must be mapped
    /// forever, and nothing else may use it.
    unsafe fn at(area: *mut u8, number: u32) -> Self {
        let template = (&raw const cpu_local_start).cast::<u8>();
        // SAFETY: Both have this size. The caller guarantees the rest.
        unsafe { template.copy_to_nonoverlapping(area, size()) };
        let offset = area.expose_provenance().wrapping_sub(template.addr());
        let cpu = Self { offset };
        let identity = Identity { area: cpu, number };
        // SAFETY: Nothing uses the area yet.
        unsafe { *IDENTITY.of(cpu).0.get() = identity };
        cpu
    }

    /// Makes the area of the boot CPU.
    ///
    /// # Safety
    ///
    /// Must be called once, before any variable is accessed.
    pub(crate) unsafe fn boot_cpu() -> Self {
        let area = &raw const boot_cpu_local;
        // SAFETY: link.ld reserves the area. The caller guarantees the rest.
        unsafe { Self::at(area.cast_mut().cast(), 0) }
    }

    /// Makes the area of another CPU, with the initial value of each variable.
    pub(crate) fn new(number: u32) -> Self {
        let layout = Layout::from_size_align(size(), ALIGNMENT);
        let layout = layout.expect("the section is far smaller than the address space");
        // SAFETY: The size is not 0, because `IDENTITY` exists.
        let area = unsafe { alloc(layout) };
        if area.is_null() {
            handle_alloc_error(layout);
        }
        // SAFETY: The area is this function's own, and is never freed.
        unsafe { Self::at(area, number) }
    }

    /// Makes this the area of the CPU that runs this code.
    ///
    /// # Safety
    ///
    /// On the CPU to which the area belongs, before it calls [`current`], and again after loading
    /// a selector has cleared the GS base.
    pub(crate) unsafe fn install(self) {
        // The distance between two addresses in the upper half is canonical: their difference
        // is less than 2^47 in either direction.
        GsBase::write(VirtAddr::new(self.offset as u64));
    }

    /// The number of the CPU; 0 is the boot CPU.
    ///
    /// Context: any.
    #[inline]
    #[must_use]
    pub fn id(self) -> u32 {
        // SAFETY: The value is not written any more.
        unsafe { (*IDENTITY.of(self).0.get()).number }
    }
}

/// The area of the CPU that runs this code. A thread that may move to another CPU must not keep it
/// across the move.
///
/// Context: any (once the CPU is set up).
#[inline]
#[must_use]
pub fn current() -> PerCpu {
    let offset: usize;
    // SAFETY: The GS base is that of this CPU's area from `install` on, and `Identity` begins with
    // the area's offset.
    unsafe {
        asm!(
            "mov {}, gs:[{}]",
            out(reg) offset,
            sym IDENTITY,
            options(nostack, pure, readonly, preserves_flags)
        );
    }
    PerCpu { offset }
}
