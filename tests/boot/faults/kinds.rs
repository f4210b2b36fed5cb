//! All injectable faults, and the expected content of their reports.
//!
//! The expectations are derived from the manuals and from the effect of each fault, not from the
//! kernel's output.

/// The expected text about the address in CR2.
#[derive(Clone, Copy)]
pub enum Address {
    /// None: the exception has no address.
    None,
    /// This address, with this text.
    Is(u64, &'static str),
    /// Any address, with this text.
    Within(&'static str),
}

/// An injectable fault with a name.
pub struct Kind {
    pub name: &'static str,
    pub vector: u8,
    pub title: &'static str,
    pub error_code: Option<(u64, &'static str)>,
    pub address: Address,
    /// The function in which the fault occurs; empty if RIP is outside of all code.
    pub at: &'static str,
    /// Whether the kernel continues afterwards.
    pub returns: bool,
}

const fn kind(name: &'static str, vector: u8, title: &'static str, at: &'static str) -> Kind {
    let (error_code, address, returns) = (None, Address::None, false);
    Kind {
        name,
        vector,
        title,
        error_code,
        address,
        at,
        returns,
    }
}

impl Kind {
    const fn code(mut self, value: u64, meaning: &'static str) -> Self {
        self.error_code = Some((value, meaning));
        self
    }

    const fn address(mut self, address: Address) -> Self {
        self.address = address;
        self
    }

    const fn returns(mut self) -> Self {
        self.returns = true;
        self
    }
}

const PF: &str = "#PF page fault";
const GP: &str = "#GP general protection";
const ABSENT: &str = "page not present, read, supervisor, data";
const NO_SELECTOR: &str = "no selector, or the null selector";
const WRITE: &str = "protection violation, write, supervisor, data";
const NULL: Address = Address::Is(0, "null page");

/// The first selector that the injected faults append to their copy of the GDT.
const APPENDED: (u64, &str) = (0x38, "GDT selector 0x0038");

pub const KINDS: &[Kind] = &[
    kind("de", 0, "#DE divide error", "divide_error"),
    kind("db", 1, "#DB debug exception", "debug_trap").returns(),
    kind("bp", 3, "#BP breakpoint", "breakpoint").returns(),
    kind("ud", 6, "#UD invalid opcode", "undefined_opcode"),
    kind("nm", 7, "#NM device not available", "no_math"),
    kind("df", 8, "#DF double fault", "double_fault")
        .code(0, "always zero")
        .address(Address::Is(
            0xffff_c0dd_ffff_fff8,
            "unused part of the kernel's address space",
        )),
    kind("ts", 10, "#TS invalid TSS", "invalid_tss").code(APPENDED.0, APPENDED.1),
    kind("np", 11, "#NP segment not present", "not_present").code(APPENDED.0, APPENDED.1),
    kind("ss", 12, "#SS stack-segment fault", "stack_fault").code(APPENDED.0, APPENDED.1),
    kind("gp", 13, GP, "general_protection").code(0, NO_SELECTOR),
    kind("gp-selector", 13, GP, "selector_fault").code(0x1000, "GDT selector 0x1000"),
    kind("gp-idt", 13, GP, "idt_limit").code(0x402, "IDT vector 0x80"),
    kind("pf", 14, PF, "read")
        .code(0, ABSENT)
        .address(Address::Is(
            0xffff_c0de_0000_0000,
            "unused part of the kernel's address space",
        )),
    kind("mf", 16, "#MF x87 floating-point error", "math_fault"),
    // QEMU's translator implements SSE, but raises no exception for it.
    kind(
        "xm",
        19,
        "#XM SIMD floating-point exception",
        "software_interrupts",
    ),
    kind("null", 14, PF, "read").code(0, ABSENT).address(NULL),
    kind("null-write", 14, PF, "write")
        .code(2, "page not present, write, supervisor, data")
        .address(NULL),
    kind("null-call", 14, PF, "")
        .code(
            0x10,
            "page not present, read, supervisor, instruction fetch",
        )
        .address(NULL),
    kind("text-write", 14, PF, "write")
        .code(3, WRITE)
        .address(Address::Within("kernel image, section text")),
    kind("rodata-write", 14, PF, "write")
        .code(3, WRITE)
        .address(Address::Within("kernel image, section rodata")),
    kind("idt-write", 14, PF, "write")
        .code(3, WRITE)
        .address(Address::Within("kernel image, section idt")),
    kind("exec-data", 14, PF, "")
        .code(
            0x11,
            "protection violation, read, supervisor, instruction fetch",
        )
        .address(Address::Within("kernel image, section data")),
    kind("stack-overflow", 8, "#DF double fault", "recurse")
        .code(0, "always zero")
        .address(Address::Within("guard page of CPU 0's thread stack")),
];

/// All exceptions, by vector (SDM vol. 3A, table 7-1, and AMD's vol. 2, 8.2 for #HV, #VC and #SX),
/// with the meaning of error code 0 for exceptions with an error code.
pub const VECTORS: [(&str, Option<&str>); 32] = [
    ("#DE divide error", None),
    ("#DB debug exception", None),
    ("NMI non-maskable interrupt", None),
    ("#BP breakpoint", None),
    ("#OF overflow", None),
    ("#BR BOUND range exceeded", None),
    ("#UD invalid opcode", None),
    ("#NM device not available", None),
    ("#DF double fault", Some("always zero")),
    ("#9 coprocessor segment overrun", None),
    ("#TS invalid TSS", Some(NO_SELECTOR)),
    ("#NP segment not present", Some(NO_SELECTOR)),
    ("#SS stack-segment fault", Some(NO_SELECTOR)),
    ("#GP general protection", Some(NO_SELECTOR)),
    ("#PF page fault", Some(ABSENT)),
    ("#15 reserved", None),
    ("#MF x87 floating-point error", None),
    ("#AC alignment check", Some("always zero")),
    ("#MC machine check", None),
    ("#XM SIMD floating-point exception", None),
    ("#VE virtualization exception", None),
    ("#CP control protection exception", Some("reserved cause 0")),
    ("#22 reserved", None),
    ("#23 reserved", None),
    ("#24 reserved", None),
    ("#25 reserved", None),
    ("#26 reserved", None),
    ("#27 reserved", None),
    ("#HV hypervisor injection exception", None),
    (
        "#VC VMM communication exception",
        Some("exit code for a read of CR0"),
    ),
    ("#SX security exception", Some("reserved cause 0")),
    ("#31 reserved", None),
];

/// Exceptions after which the interrupted code continues: traps, and vectors that report nothing
/// about it.
pub const RETURNING: [u8; 3] = [1, 2, 3];
