//! Tests of `topology`, against the MADT of QEMU 10.0.2.

use super::*;

fn ids(value: &str) -> Vec<u32> {
    let all = cpus(value).unwrap();
    all.iter().map(|cpu| cpu.apic_id).collect()
}

#[test]
fn a_number_is_cores_of_one_socket() {
    let all = cpus("3").unwrap();
    assert_eq!(ids("3"), [0, 1, 2]);
    assert_eq!(all[2].location, (0, 2, 0));
    assert!(all.iter().all(|cpu| cpu.present));
}

#[test]
fn levels_have_bits_of_their_own() {
    assert_eq!(ids("6,sockets=2,cores=3"), [0, 1, 2, 4, 5, 6]);
    let ten_and_more = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11, 12, 13];
    assert_eq!(ids("12,sockets=2,cores=3,threads=2"), ten_and_more);
    let all = cpus("12,sockets=2,cores=3,threads=2").unwrap();
    assert_eq!(all[11].location, (1, 2, 1));
    // Three threads need two bits.
    assert_eq!(ids("6,cores=2,threads=3"), [0, 1, 2, 4, 5, 6]);
}

#[test]
fn dies_are_part_of_the_cores_number() {
    let all = cpus("12,dies=2,cores=3,threads=2").unwrap();
    assert_eq!(all[6].apic_id, 8);
    assert_eq!(all[6].location, (0, 4, 0));
    assert_eq!(all[6].counted, (0, 1, 0, 0));
}

#[test]
fn cpus_may_be_missing() {
    let all = cpus("2,maxcpus=8").unwrap();
    assert_eq!(all.len(), 8);
    assert_eq!(all.iter().filter(|cpu| cpu.present).count(), 2);
    assert_eq!(all[7].location, (0, 7, 0));
    assert_eq!(cpus("sockets=2,cores=2").unwrap().len(), 4);
}

#[test]
fn nonsense_is_refused() {
    assert!(cpus("four").is_err());
    assert!(cpus("4,tiles=2").is_err());
    assert!(cpus("4,sockets=3,cores=3,threads=3").is_err());
}
