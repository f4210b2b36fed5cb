//! The wait between INIT and the start-up IPI.

/// The wait between INIT and the first start-up IPI, in microseconds, by the vendor (CPUID leaf 0:
/// EBX, EDX, ECX), the signature (CPUID leaf 1: EAX), and whether a hypervisor is present.
///
/// The sequence of SDM vol. 3A, 10.4.4.1 waits 10 ms. Processors from Intel's family 6 and AMD's
/// and Hygon's family 0FH on do not need the wait, and Linux omits it on them too; other processors
/// get the documented wait. A virtual CPU needs no wait, regardless of the family that it reports:
/// QEMU's model `max` reports AMD's family 6, whose processors have no 64-bit mode.
#[must_use]
pub fn init_wait(vendor: [u32; 3], signature: u32, has_hypervisor: bool) -> u64 {
    const DOCUMENTED: u64 = 10_000;
    if has_hypervisor {
        return 0;
    }
    // The extended family is valid only if the family is 0FH (SDM vol. 2A, CPUID).
    let family = match signature >> 8 & 0xf {
        0xf => 0xf + (signature >> 20 & 0xff),
        family => family,
    };
    let mut name = [0; 12];
    for (bytes, register) in name.chunks_exact_mut(4).zip(vendor) {
        bytes.copy_from_slice(&register.to_le_bytes());
    }
    let first_without = match &name {
        b"GenuineIntel" => 6,
        b"AuthenticAMD" | b"HygonGenuine" => 0xf,
        _ => return DOCUMENTED,
    };
    if family >= first_without {
        0
    } else {
        DOCUMENTED
    }
}
