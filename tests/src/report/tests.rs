//! Tests of `report`.

use super::*;

const REPORT: &str = "\
fault: writing
#### CPU 1: #PF page fault (vector 14) #######################################
  at          0xffffffff8020e214  tocsin_monitor::commands::fault_injection::write+0x4
  error code  0x0003: protection violation, write, supervisor, data
  address     0xffffffff8022c000 (CR2): kernel image, section idt
  stack       CPU 0's thread stack, 1024 of 65536 bytes in use
  rax 0xffffffff8022c000  rbx 0x0000000000000001  r8  0x0000000000000008
  cs  0x0008  ss  0x0010
  rflags  0x00010046 PF ZF RF
  cr0     0x80050033 PE MP ET NE WP AM PG
  backtrace
     0  0xffffffff8020e214  tocsin_monitor::commands::fault_injection::write+0x4
     1  0x0000000000001000
        frame pointer 0x0 is not on this stack
#### CPU 1 stopped ###########################################################
";

#[test]
fn all_fields_are_read() {
    let report = Report::parse(REPORT).unwrap();
    assert_eq!((report.cpu, report.vector), (1, 14));
    assert_eq!(report.title, "#PF page fault");
    assert!(report.at.is_in("fault_injection::write") && report.at.is_in("write"));
    assert!(!report.at.is_in("rite"));
    let code = report.error_code.as_ref().unwrap();
    assert_eq!(
        (code.0, code.1.as_str()),
        (3, "protection violation, write, supervisor, data")
    );
    let address = report.address.as_ref().unwrap();
    assert_eq!(address.0, 0xffff_ffff_8022_c000);
    assert_eq!(address.1, "kernel image, section idt");
    for (name, value) in [
        ("rbx", 1),
        ("r8", 8),
        ("cs", 8),
        ("ss", 16),
        ("rflags", 0x10046),
    ] {
        assert_eq!(report.register(name), Ok(value));
    }
    assert_eq!(report.register("cr0"), Ok(0x8005_0033));
    assert!(report.register("cr9").is_err());
    assert_eq!(report.bits["rflags"], ["PF", "ZF", "RF"]);
    assert_eq!(report.backtrace.len(), 2);
    assert_eq!(report.backtrace[1].symbol, None);
    assert!(report.stopped);
}

#[test]
fn what_is_no_report_is_refused() {
    assert!(Report::parse("tocsin> ").is_err());
    let broken = REPORT.replace("     1  0x", "     7  0x");
    assert!(
        Report::parse(&broken)
            .unwrap_err()
            .contains("not understood")
    );
    let cut = &REPORT[..REPORT.find("#### CPU 1 stopped").unwrap()];
    assert!(!Report::parse(cut).unwrap().stopped);
}
