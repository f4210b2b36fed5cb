//! Tests of `settings`.

use super::*;

#[test]
fn smp_takes_counts_and_topologies() {
    for (value, reported) in [
        ("1", "1 CPU"),
        ("4", "4 CPUs"),
        ("6,sockets=2,cores=3", "6 CPUs"),
        ("cpus=2,maxcpus=8", "2 CPUs"),
        ("sockets=2,cores=2", "CPUs sockets=2,cores=2"),
    ] {
        let smp = Smp::parse(value).unwrap();
        assert_eq!(
            (smp.to_string().as_str(), smp.describe().as_str()),
            (value, reported)
        );
    }
    for value in ["", "0", "-1", "four", "4,", "4,cores", "4,cores=0", "4.5"] {
        let message = Smp::parse(value).unwrap_err().to_string();
        assert!(message.starts_with(&format!("SMP={value}: ")), "{message}");
    }
}

#[test]
fn memory_takes_sizes_and_names_bad_ones() {
    for (value, qemu, reported) in [
        ("64M", "64M", "64 MiB"),
        ("512", "512M", "512 MiB"),
        ("8G", "8192M", "8 GiB"),
        ("1500M", "1500M", "1500 MiB"),
        ("1T", "1048576M", "1024 GiB"),
    ] {
        let memory = Memory::parse(value).unwrap();
        assert_eq!(
            (memory.to_string().as_str(), memory.describe().as_str()),
            (qemu, reported)
        );
    }
    for value in [
        "",
        "M",
        "0",
        "0G",
        "1X",
        "-5M",
        "99999999999999999T",
        "18446744073709551615T",
    ] {
        let message = Memory::parse(value).unwrap_err().to_string();
        assert!(message.starts_with(&format!("MEM={value}: ")), "{message}");
        assert!(message.ends_with("as MEM=512M or MEM=2G"), "{message}");
    }
}

#[test]
fn gdb_is_waited_for_at_a_port_or_a_socket() {
    for (value, qemu, gdb) in [
        ("1234", "tcp::1234", ":1234"),
        ("/a,b/gdb", "unix:/a,,b/gdb,server=on,wait=off", "/a,b/gdb"),
    ] {
        let endpoint = GdbEndpoint::parse(value).unwrap();
        assert_eq!(
            (endpoint.for_qemu(), endpoint.for_gdb()),
            (qemu.into(), gdb.into())
        );
    }
    for value in ["", "0", "65536", "gdb", ":1234"] {
        let message = GdbEndpoint::parse(value).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("GDB={value}: that is no TCP port; ")),
            "{message}"
        );
    }
}

#[test]
fn words_are_checked() {
    assert_eq!(BootWay::parse("auto"), Ok(None));
    for way in [BootWay::Direct, BootWay::Limine, BootWay::LimineUefi] {
        assert_eq!(BootWay::parse(way.name()), Ok(Some(way)));
    }
    assert_eq!(
        BootWay::parse("foo").unwrap_err().to_string(),
        "BOOT=foo: that is no way to boot; give auto, limine, limine-uefi or direct"
    );
    assert_eq!(Accel::parse("tcg"), Ok(Accel::Tcg));
    assert!(
        Accel::parse("hvf")
            .unwrap_err()
            .to_string()
            .starts_with("ACCEL=hvf: ")
    );
}
