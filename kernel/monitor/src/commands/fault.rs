//! `fault`: fault injection for each kind of error.
//!
//! Where possible, the processor itself raises the exception. This is not possible for reserved
//! vectors, and for exceptions of features that the processor lacks, or of ring 3. For these, INT n
//! goes through the same gate if the vector has no error code. If it has one, the frame is built by
//! hand and the code jumps to the gate's entry point. The command reports which method it uses.

use alloc::string::ToString;
use alloc::vec::Vec;

use tocsin_logic::exception::{self, pushes_error_code};
use tocsin_logic::script;

use super::fault_injection::{self, Injection};
use super::fault_injection_smp;
use crate::command::{Arguments, CommandError};
use tocsin::ipi::jobs::{self, Job};
use tocsin::{Machine, cpu, println};

/// A named kind of fault.
struct Kind {
    name: &'static str,
    /// The expected vector, if it is an exception.
    vector: Option<u8>,
    /// A description of the method.
    how: &'static str,
    inject: Injection,
}

const fn kind(name: &'static str, vector: u8, how: &'static str, inject: Injection) -> Kind {
    Kind {
        name,
        vector: Some(vector),
        how,
        inject,
    }
}

const KINDS: &[Kind] = &[
    kind("de", 0, "dividing by zero", fault_injection::divide_error),
    kind("db", 1, "executing INT1", fault_injection::debug_trap),
    kind("bp", 3, "executing INT3", fault_injection::breakpoint),
    kind("ud", 6, "executing UD2", fault_injection::undefined_opcode),
    kind(
        "nm",
        7,
        "using the FPU with CR0.TS set",
        fault_injection::no_math,
    ),
    kind(
        "df",
        8,
        "pushing to an unmapped stack",
        fault_injection::double_fault,
    ),
    kind(
        "ts",
        10,
        "INT1 through an IST entry beyond a shortened TSS",
        fault_injection::invalid_tss,
    ),
    kind(
        "np",
        11,
        "loading FS with a segment that is not present",
        fault_injection::not_present,
    ),
    kind(
        "ss",
        12,
        "loading SS with a segment that is not present",
        fault_injection::stack_fault,
    ),
    kind(
        "gp",
        13,
        "reading at a non-canonical address",
        fault_injection::general_protection,
    ),
    kind(
        "gp-selector",
        13,
        "loading FS with a selector beyond the GDT",
        fault_injection::selector_fault,
    ),
    kind(
        "gp-idt",
        13,
        "INT 0x80 with IDTR's limit cut to 32 gates",
        fault_injection::idt_limit,
    ),
    kind(
        "pf",
        14,
        "reading an address that is not mapped",
        fault_injection::page_fault,
    ),
    kind(
        "mf",
        16,
        "dividing 1 by 0 on the FPU, unmasked",
        fault_injection::math_fault,
    ),
    kind(
        "xm",
        19,
        "dividing 1 by 0 with SSE, unmasked",
        fault_injection::simd_fault,
    ),
    Kind {
        name: "lockup",
        vector: None,
        how: "spinning for 5 s with interrupts off",
        inject: fault_injection::lock_up,
    },
    Kind {
        name: "lockup-handler",
        vector: None,
        how: "spinning for 8 s in a handler of class 6",
        inject: fault_injection::lock_up_handler,
    },
    Kind {
        name: "lockup-raised",
        vector: None,
        how: "spinning for 8 s with CR8 raised to class 6",
        inject: fault_injection::lock_up_raised,
    },
    Kind {
        name: "lockup-thread",
        vector: None,
        how: "deferring work for 14 s that defers itself again",
        inject: fault_injection::starve_thread,
    },
    kind("null", 14, "reading address 0", fault_injection::null_read),
    kind(
        "null-write",
        14,
        "writing address 0",
        fault_injection::null_write,
    ),
    kind(
        "null-call",
        14,
        "calling address 0",
        fault_injection::null_call,
    ),
    kind(
        "text-write",
        14,
        "writing to the kernel's code",
        fault_injection::text_write,
    ),
    kind(
        "rodata-write",
        14,
        "writing to a constant",
        fault_injection::rodata_write,
    ),
    kind(
        "idt-write",
        14,
        "writing to the IDT",
        fault_injection::idt_write,
    ),
    kind(
        "exec-data",
        14,
        "jumping into a variable",
        fault_injection::execute_data,
    ),
    kind(
        "stack-overflow",
        8,
        "recursing without end",
        fault_injection::stack_overflow,
    ),
    Kind {
        name: "panic",
        vector: None,
        how: "panicking",
        inject: fault_injection::panic,
    },
    Kind {
        name: "panic-all",
        vector: None,
        how: "panicking on all CPUs at once",
        inject: fault_injection_smp::panic_all,
    },
    Kind {
        name: "panic-printing",
        vector: None,
        how: "panicking while all other CPUs print",
        inject: fault_injection_smp::panic_while_printing,
    },
    Kind {
        name: "panic-first",
        vector: None,
        how: "panicking before all other CPUs do, which no NMI can stop",
        inject: fault_injection_smp::panic_before_others,
    },
    Kind {
        name: "panic-silent",
        vector: None,
        how: "panicking while no other CPU responds to an NMI",
        inject: fault_injection_smp::panic_without_response,
    },
];

pub(super) fn fault(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let name = arguments.required()?;
    let mut cpus = Vec::new();
    while let Some(cpu) = arguments.number(u64::from(u32::MAX))? {
        // The cast is lossless: `number` limits the value to 32 bits.
        cpus.push(cpu as u32);
    }
    if name == "list" {
        list();
        return Ok(());
    }
    if cpus.is_empty() {
        cpus.push(cpu::current().id());
    }
    let index = KINDS.iter().position(|kind| kind.name == name);
    let job = match index {
        Some(index) => Job {
            function: inject_kind,
            argument: index as u64,
        },
        None => Job {
            function: inject_vector,
            argument: vector_of(name)
                .ok_or_else(|| CommandError::BadArgument {
                    given: name.to_string(),
                    expected:
                        "a kind that `fault list` shows, a mnemonic such as `ac`, or a vector"
                            .into(),
                })?
                .into(),
        },
    };
    jobs::run_on_each(&cpus, job).map_err(CommandError::Cpu)?;
    println!("fault: the kernel continues");
    Ok(())
}

/// Raises the fault of kind number `index`, on the CPU that runs this function.
fn inject_kind(index: u64) {
    // The index is one that `fault` has found.
    let kind = &KINDS[index as usize];
    println!("fault: {}", kind.how);
    (kind.inject)();
}

/// Raises `vector`, on the CPU that runs this function.
fn inject_vector(vector: u64) {
    // The cast is lossless: vectors are below 256.
    let vector = vector as u8;
    if pushes_error_code(vector) {
        println!("fault: entering gate {vector} with a frame built by hand, error code 0");
        fault_injection::built_frame(vector, 0);
    } else {
        println!("fault: INT {vector}");
        fault_injection::software_interrupt(vector);
    }
}

/// Returns the vector for `name`, which is a mnemonic without `#`, in any case, or a number.
fn vector_of(name: &str) -> Option<u8> {
    let by_mnemonic = (0..32).find(|&vector| {
        exception::exception(vector).is_some_and(|exception| {
            exception
                .mnemonic
                .trim_start_matches('#')
                .eq_ignore_ascii_case(name)
        })
    });
    by_mnemonic.or_else(|| u8::try_from(script::parse_number(name).ok()?).ok())
}

fn list() {
    println!("  kind            raises  how");
    for kind in KINDS {
        let raises = kind
            .vector
            .and_then(exception::exception)
            .map_or("-", |exception| exception.mnemonic);
        println!("  {:<14}  {raises:<6}  {}", kind.name, kind.how);
    }
    println!("  any other mnemonic or a vector 0-255: INT n, or a frame built by hand where");
    println!("  the vector has an error code");
}
