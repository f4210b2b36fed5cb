//! The programs that must not compile, each with the expected error.

/// The error that the compiler must report.
#[derive(Clone, Copy, Debug)]
pub enum CompileError {
    /// E0133: it is `unsafe`. In an `unsafe` block it compiles.
    Unsafe,
    /// The item, method or field is private.
    Private,
    /// E0308: the type differs from the required one.
    Type,
    /// E0277: the type lacks a required trait.
    Bound,
}

use CompileError::{Bound, Private, Type, Unsafe};

/// Name, expected rejection, and the program's only statement.
pub type Case = (&'static str, CompileError, &'static str);

pub const CASES: &[Case] = &[
    // Interrupt commands and EOIs.
    ("eoi", Unsafe, "tocsin::apic::local().end_of_interrupt()"),
    (
        "init",
        Unsafe,
        "tocsin::apic::local().send(Icr::init(Destination::Physical(ApicId(1))))",
    ),
    (
        "start_up",
        Unsafe,
        "tocsin::apic::local().send(Icr::start_up(0x7000, Destination::Physical(ApicId(1))).unwrap())",
    ),
    (
        "self_ipi",
        Private,
        "tocsin::apic::local().send_to_self(Vector(17))",
    ),
    (
        "redirection_entry",
        Unsafe,
        "tocsin::apic::io::Input::claim(Gsi(4)).unwrap().set(Rte::MASKED)",
    ),
    (
        "io_apic_eoi",
        Private,
        "tocsin::apic::io::Input::claim(Gsi(4)).unwrap().eoi_register()",
    ),
    // DMA.
    (
        "dma_without_iommu",
        Unsafe,
        "tocsin::iommu::dma::Buffer::<u8>::without_iommu(1, u64::MAX)",
    ),
    // Vectors.
    ("exception_ipi", Type, "tocsin::ipi::send(Vector(17), 1)"),
    (
        "exception_ipi_to_self",
        Type,
        "tocsin::ipi::send_to_self(Vector(17))",
    ),
    (
        "forged_vector",
        Private,
        "tocsin::ipi::vectors::ReservedVector(Vector(17))",
    ),
    (
        "timer_vector",
        Unsafe,
        "tocsin::hooks::prepare_timer(Vector(17))",
    ),
    (
        "line_vector",
        Unsafe,
        "|line: &tocsin::line::Line| line.divert(Vector(17))",
    ),
    // Handlers.
    ("register", Private, "tocsin::cpu::handlers::register"),
    (
        "install",
        Private,
        "tocsin::cpu::handlers::INTERRUPTS.here().install(Vector(0x60), handler, 0)",
    ),
    (
        "exchange",
        Unsafe,
        "tocsin::cpu::handlers::INTERRUPTS.here().exchange(Vector(0x60), handler)",
    ),
    (
        "begin_removal",
        Private,
        "tocsin::cpu::handlers::INTERRUPTS.here().begin_removal(Vector(0x60))",
    ),
    (
        "end_removal",
        Private,
        "tocsin::cpu::handlers::INTERRUPTS.here().end_removal(Vector(0x60))",
    ),
    ("entry_code", Unsafe, "tocsin::hooks::set_measured(0, 0)"),
    // Access for the benchmarks.
    (
        "hooks_install",
        Unsafe,
        "tocsin::hooks::install(tocsin::cpu::current(), Vector(0x60), handler, 0)",
    ),
    (
        "hooks_begin_removal",
        Unsafe,
        "tocsin::hooks::begin_removal(tocsin::cpu::current(), Vector(0x60))",
    ),
    (
        "hooks_end_removal",
        Unsafe,
        "tocsin::hooks::end_removal(tocsin::cpu::current(), Vector(0x60))",
    ),
    (
        "hooks_register",
        Unsafe,
        "tocsin::hooks::register(Vector(0x51), handler)",
    ),
    (
        "hooks_send",
        Unsafe,
        "tocsin::hooks::send(Vector(0x60), Destination::All)",
    ),
    (
        "hooks_send_to_self",
        Unsafe,
        "tocsin::hooks::send_to_self(Vector(0x60))",
    ),
    (
        "hooks_send_to",
        Unsafe,
        "tocsin::hooks::send_to(Vector(0x60), tocsin::ipi::Targets::All)",
    ),
    (
        "hooks_send_in_turn",
        Unsafe,
        "tocsin::hooks::send_to_others_in_turn(Vector(0x60))",
    ),
    (
        "hooks_free",
        Unsafe,
        "tocsin::hooks::free(tocsin::cpu::current(), Vector(0x60))",
    ),
    (
        "hooks_message",
        Unsafe,
        "tocsin::hooks::message_target(Vector(0x60), 1, ApicId(0))",
    ),
    (
        "hooks_nmi_call",
        Unsafe,
        "tocsin::hooks::request_nmi_call(tocsin::cpu::current(), in_nmi, 0)",
    ),
    ("hooks_record", Unsafe, "tocsin::hooks::record(None)"),
    (
        "hooks_shootdown",
        Unsafe,
        "tocsin::hooks::set_flush_all_cpus(|_| ())",
    ),
    (
        "hooks_jobs",
        Unsafe,
        "tocsin::hooks::start_jobs(core::iter::empty(), |_| tocsin::ipi::jobs::NO_OP)",
    ),
    (
        "function_at_an_address",
        Unsafe,
        "tocsin::fn_cell::from_address::<fn()>(core::ptr::null_mut())",
    ),
    (
        "slot_registers",
        Unsafe,
        "tocsin::pci::find(0, 0).unwrap().claim().unwrap().write_half(4, 0)",
    ),
    ("nmi_call", Unsafe, "tocsin::ipi::nmi::call(1, in_nmi, 0)"),
    // The CPU.
    (
        "priority",
        Private,
        "tocsin::hw::control::set_priority_class",
    ),
    ("control_registers", Private, "tocsin::hw::control::set_up"),
    ("msr", Unsafe, "tocsin::hw::control::write_msr(0x1b, 0)"),
    (
        "registers",
        Unsafe,
        "tocsin::hw::mmio::Mmio::new(0xffff_8000_0010_0000, 8)",
    ),
    ("probe", Unsafe, "tocsin::trap::fixup::write(0x10_0000, 0)"),
    // Per-CPU variables.
    ("per_cpu_area", Private, "tocsin::cpu::PerCpu::new(7)"),
    ("per_cpu_offset", Private, "tocsin::cpu::current().offset"),
    (
        "per_cpu_variable",
        Unsafe,
        "tocsin::cpu_local::CpuLocal::new(7_u32)",
    ),
    (
        "per_cpu_cell",
        Bound,
        "{ const fn shared<T: Sync>() {} shared::<tocsin::cpu_local::CpuLocal<core::cell::Cell<u32>>>() }",
    ),
    // Memory.
    ("map_new", Private, "tocsin::memory::paging::map_new"),
    (
        "map",
        Unsafe,
        "tocsin::memory::mapping::map(0x1000..0x2000, 0x10_0000, Use::Data)",
    ),
    (
        "unmap",
        Unsafe,
        "tocsin::memory::mapping::unmap(0x1000..0x2000)",
    ),
    (
        "protect",
        Unsafe,
        "tocsin::memory::mapping::protect(0x1000..0x2000, Use::Code)",
    ),
    (
        "map_physical",
        Unsafe,
        "tocsin::memory::paging::map_physical(0x10_0000, 8, Use::Device)",
    ),
    (
        "free_frame",
        Unsafe,
        "tocsin::memory::frames::free(0x10_0000, 4096)",
    ),
    ("stacks", Private, "tocsin::memory::stacks::allocate"),
    // Devices.
    (
        "bus_master",
        Unsafe,
        "tocsin::pci::find(1, 2).unwrap().claim().unwrap().enable_bus_master()",
    ),
    (
        "message",
        Type,
        "tocsin::line::Messages::set(&mut tocsin::pci::find(1, 2).unwrap().claim().unwrap().msi().unwrap(), \
         &Message { address: 0xfee0_0000, data: 0xe0 })",
    ),
    (
        "forged_message",
        Private,
        "tocsin::line::MessageTarget::new(Vector(0xe0), 1, ApicId(0))",
    ),
    (
        "registers_of_a_bus_master",
        Private,
        "tocsin_monitor::drivers::edu::Edu::claim().unwrap().device()",
    ),
];
