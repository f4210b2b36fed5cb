//! Tests of the time limits.

use super::*;

/// QEMU took 75 s to start 512 CPUs on a busy host with two processors.
#[test]
fn more_cpus_are_waited_for_longer() {
    let limit = |smp| timeout(&Smp::parse(smp).unwrap()).as_secs();
    assert_eq!(limit("4"), 61);
    assert_eq!(limit("512"), 188);
    for all in [
        "2,maxcpus=1024",
        "1024",
        "sockets=4,cores=256",
        "cpus=8,maxcpus=1024,cores=256",
    ] {
        assert_eq!(limit(all), 316, "{all}");
    }
}
