//! The CPUs that QEMU creates for a value of `-smp`, and their numbers.
//!
//! Written from QEMU's documentation (`-smp` in its manual page) and the SDM's rule for APIC IDs:
//! each level has as many bits as its count needs (SDM vol. 3A, 10.9.1). It shares no code with the
//! kernel.

#[cfg(test)]
mod tests;

/// A CPU that a machine has, or that can be hot-plugged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu {
    /// QEMU's CPU number, which is also its ACPI UID.
    pub index: u32,
    /// The ID of its local APIC.
    pub apic_id: u32,
    /// Socket, core and thread. Dies are part of the core's number, as bits above it.
    pub location: (u32, u32, u32),
    /// Socket, die, core in the die and thread, by QEMU's numbers.
    pub counted: (u32, u32, u32, u32),
    /// Whether it is present at boot.
    pub present: bool,
}

/// The numbers in a value of `-smp`; 0 for omitted ones.
#[derive(Debug, Default)]
struct Counts {
    cpus: u32,
    max: u32,
    sockets: u32,
    dies: u32,
    cores: u32,
    threads: u32,
}

/// All CPUs of `-smp value`, in QEMU's order.
///
/// # Errors
///
/// A part of the value cannot be parsed.
pub fn cpus(value: &str) -> Result<Vec<Cpu>, String> {
    let Counts {
        cpus,
        sockets,
        dies,
        cores,
        threads,
        max,
    } = counts(value)?;
    if sockets * dies * cores * threads != max || cpus > max {
        return Err(format!("-smp {value}: the counts contradict each other"));
    }
    let (thread_bits, core_bits) = (bits(threads), bits(cores));
    let die_shift = thread_bits + core_bits;
    let socket_shift = die_shift + bits(dies);
    let all = (0..max).map(|index| {
        let thread = index % threads;
        let core = index / threads % cores;
        let die = index / threads / cores % dies;
        let socket = index / threads / cores / dies;
        Cpu {
            index,
            apic_id: socket << socket_shift | die << die_shift | core << thread_bits | thread,
            location: (socket, die << core_bits | core, thread),
            counted: (socket, die, core, thread),
            present: index < cpus,
        }
    });
    Ok(all.collect())
}

/// Parses the value, and fills in omitted numbers like QEMU: more cores before more sockets.
fn counts(value: &str) -> Result<Counts, String> {
    let mut counts = Counts::default();
    for part in value.split(',') {
        let (name, number) = part.split_once('=').unwrap_or(("cpus", part));
        let number = number
            .parse()
            .map_err(|_| format!("-smp {value}: {part:?} is no count"))?;
        match name {
            "cpus" => counts.cpus = number,
            "maxcpus" => counts.max = number,
            "sockets" => counts.sockets = number,
            "dies" => counts.dies = number,
            "cores" => counts.cores = number,
            "threads" => counts.threads = number,
            _ => return Err(format!("-smp {value}: {name:?} is not known here")),
        }
    }
    let or = |count: u32, other: u32| if count == 0 { other } else { count };
    let product = |counts: &Counts| {
        let given = [counts.sockets, counts.cores, counts.threads];
        given.iter().map(|&count| or(count, 1)).product::<u32>() * counts.dies
    };
    counts.dies = or(counts.dies, 1);
    counts.max = or(counts.max, or(counts.cpus, product(&counts)));
    counts.cpus = or(counts.cpus, counts.max);
    if counts.cores == 0 {
        counts.sockets = or(counts.sockets, 1);
        counts.threads = or(counts.threads, 1);
        counts.cores = counts.max / product(&counts);
    } else if counts.sockets == 0 {
        counts.threads = or(counts.threads, 1);
        counts.sockets = counts.max / product(&counts);
    } else if counts.threads == 0 {
        counts.threads = counts.max / product(&counts);
    }
    Ok(counts)
}

/// Number of bits for values from 0 to below `count`.
fn bits(count: u32) -> u32 {
    count.next_power_of_two().trailing_zeros()
}
