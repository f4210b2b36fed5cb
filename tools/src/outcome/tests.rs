//! Tests of `outcome`.

use super::*;

#[test]
fn outcomes_are_distinguished() {
    let end = |raw, reason, triple| Outcome::new(ExitStatus::from_raw(raw), reason, triple);
    assert_eq!(end(33 << 8, None, false), Outcome::Kernel(0));
    assert_eq!(
        end(33 << 8, Some("guest-shutdown"), false),
        Outcome::Kernel(0)
    );
    assert_eq!(
        end(235 << 8, None, false),
        Outcome::Kernel(tocsin_logic::exit::STOPPED)
    );
    assert_eq!(end(1 << 8, None, false), Outcome::Qemu(1));
    assert_eq!(end(0, None, false), Outcome::Off);
    assert_eq!(end(0, Some("host-qmp-quit"), false), Outcome::Off);
    assert_eq!(end(0, Some("host-signal"), false), Outcome::Terminated);
    assert_eq!(end(0, Some("guest-reset"), false), Outcome::Reset);
    assert_eq!(end(0, Some("guest-reset"), true), Outcome::TripleFault);
    assert_eq!(end(9, Some("guest-reset"), true), Outcome::Signal(9));
}
