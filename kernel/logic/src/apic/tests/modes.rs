//! Tests of the current and the selected local APIC mode.

use crate::apic::ApicId;
use crate::apic::ModeOption;
use crate::apic::base::{ApicBase, BaseError, IllegalTransition, State};
use crate::apic::mode::{Choice, Mode, Reason, Refusal, Situation, choose_mode};
use std::string::ToString;
use std::vec::Vec;

/// SDM vol. 3A, figures 12-5 and 12-26.
#[test]
fn base_layout() {
    for (value, bsp, state) in [
        (0xfee0_0000, false, State::Disabled),
        (0xfee0_0900, true, State::XApic),
        (0xfee0_0800, false, State::XApic),
        (0xfee0_0d00, true, State::X2Apic),
        (0xfee0_0c00, false, State::X2Apic),
    ] {
        let base = ApicBase::decode(value).expect("a valid value");
        assert_eq!(
            base,
            ApicBase {
                address: 0xfee0_0000,
                bsp,
                state
            }
        );
        assert_eq!(base.encode(), Ok(value));
    }
    let high = ApicBase::decode(0x000f_ffff_ffff_f800).expect("a valid value");
    assert_eq!(high.address, 0x000f_ffff_ffff_f000);
    assert_eq!(ApicBase::decode(0xfee0_0400), Err(BaseError::Invalid));
    for bit in [0, 1, 2, 3, 4, 5, 6, 7, 9, 52, 63] {
        assert_eq!(
            ApicBase::decode(0xfee0_0800 | 1 << bit),
            Err(BaseError::Reserved(1 << bit))
        );
    }
    for address in [1, 0xfff, 0xfee0_0800, 1 << 52] {
        let base = ApicBase { address, ..high };
        assert_eq!(base.encode(), Err(BaseError::Address(address)));
    }
    let on = high.with_state(State::X2Apic);
    assert_eq!((on.address, on.state), (high.address, State::X2Apic));
    assert_eq!(
        BaseError::Invalid.to_string(),
        "IA32_APIC_BASE: EXTD is set without EN"
    );
}

/// SDM vol. 3A, 12.12.5, figure 12-27: all nine pairs.
#[test]
fn transitions() {
    use State::{Disabled, X2Apic, XApic};
    let illegal = [(Disabled, X2Apic), (X2Apic, XApic)];
    for from in State::ALL {
        for to in State::ALL {
            let expected = if illegal.contains(&(from, to)) {
                Err(IllegalTransition { from, to })
            } else {
                Ok(())
            };
            assert_eq!(from.transition(to), expected);
            // The path leads to the target in legal steps, and each step changes the state.
            let path: Vec<_> = from.path(to).into_iter().collect();
            assert_eq!(path.is_empty(), from == to);
            let mut state = from;
            for &next in &path {
                assert_ne!(state, next);
                assert_eq!(state.transition(next), Ok(()));
                state = next;
            }
            assert_eq!(state, to);
            assert!(path.len() < 2 || illegal.contains(&(from, to)));
        }
    }
    assert_eq!(
        X2Apic.transition(XApic).expect_err("illegal").to_string(),
        "the local APIC cannot go from x2apic to xapic in one step"
    );
}

/// A machine with x2APIC support and IDs up to 7, left in xAPIC mode by firmware.
const USUAL: Situation = Situation {
    option: ModeOption::Auto,
    has_x2apic: true,
    bsp: ApicId(0),
    highest: ApicId(7),
    firmware_x2apic: false,
    locked: false,
    opt_out: false,
};

fn choose(situation: Situation) -> Result<(Mode, Reason, bool), Refusal> {
    choose_mode(&situation).map(
        |Choice {
             mode,
             reason,
             leaves_out_cpus,
         }| (mode, reason, leaves_out_cpus),
    )
}

#[test]
fn automatic_choice() {
    let x2apic = |reason| Ok((Mode::X2Apic, reason, false));
    assert_eq!(choose(USUAL), x2apic(Reason::HasX2Apic));
    let without = Situation {
        has_x2apic: false,
        ..USUAL
    };
    assert_eq!(choose(without), Ok((Mode::XApic, Reason::NoX2Apic, false)));
    let opt_out = Situation {
        opt_out: true,
        ..USUAL
    };
    assert_eq!(choose(opt_out), Ok((Mode::XApic, Reason::OptOut, false)));
    let large = Situation {
        highest: ApicId(255),
        ..opt_out
    };
    assert_eq!(choose(large), x2apic(Reason::IdsAgainstOptOut));
    for left_on in [
        Situation {
            firmware_x2apic: true,
            ..opt_out
        },
        Situation {
            locked: true,
            ..opt_out
        },
    ] {
        assert_eq!(choose(left_on), x2apic(Reason::FirmwareX2Apic));
    }
}

#[test]
fn chosen_by_the_command_line() {
    let option = |option, situation| {
        choose(Situation {
            option,
            ..situation
        })
    };
    assert_eq!(
        option(ModeOption::X2Apic, USUAL),
        Ok((Mode::X2Apic, Reason::Option, false))
    );
    assert_eq!(
        option(ModeOption::XApic, USUAL),
        Ok((Mode::XApic, Reason::Option, false))
    );
    let without = Situation {
        has_x2apic: false,
        ..USUAL
    };
    assert_eq!(option(ModeOption::X2Apic, without), Err(Refusal::NoX2Apic));
    assert_eq!(
        option(ModeOption::XApic, without),
        Ok((Mode::XApic, Reason::Option, false))
    );
    let opt_out = Situation {
        opt_out: true,
        ..USUAL
    };
    assert_eq!(
        option(ModeOption::X2Apic, opt_out),
        Ok((Mode::X2Apic, Reason::OptionAgainstOptOut, false))
    );
    // The kernel can change from x2APIC to xAPIC mode, unless the mode is locked.
    let left_on = Situation {
        firmware_x2apic: true,
        ..USUAL
    };
    assert_eq!(
        option(ModeOption::XApic, left_on),
        Ok((Mode::XApic, Reason::Option, false))
    );
    let locked = Situation {
        locked: true,
        ..left_on
    };
    assert_eq!(option(ModeOption::XApic, locked), Err(Refusal::Locked));
}

#[test]
fn xapic_leaves_out_large_ids() {
    for (highest, leaves_out) in [(0, false), (254, false), (255, true), (0x11f, true)] {
        let situation = Situation {
            option: ModeOption::XApic,
            highest: ApicId(highest),
            ..USUAL
        };
        assert_eq!(
            choose(situation),
            Ok((Mode::XApic, Reason::Option, leaves_out))
        );
    }
    // The boot CPU cannot be excluded.
    let situation = Situation {
        option: ModeOption::XApic,
        bsp: ApicId(255),
        highest: ApicId(255),
        ..USUAL
    };
    assert_eq!(choose(situation), Err(Refusal::BspId(ApicId(255))));
    assert_eq!(
        Refusal::BspId(ApicId(256)).to_string(),
        "xapic mode: the boot CPU's APIC ID 0x100 is above 254; use apic=auto"
    );
}

/// In every situation, x2APIC mode is selected only if the CPU supports it, and `auto` selects a
/// mode unless the CPU lacks the x2APIC and has an ID that requires it.
#[test]
fn every_situation() {
    let ids = [ApicId(0), ApicId(254), ApicId(255)];
    let flags = [false, true];
    for option in [ModeOption::Auto, ModeOption::XApic, ModeOption::X2Apic] {
        for bits in 0..16_usize {
            for bsp in ids {
                for highest in ids.into_iter().filter(|&id| id >= bsp) {
                    let [has_x2apic, firmware, locked, opt_out] =
                        [0, 1, 2, 3].map(|bit| flags[bits >> bit & 1]);
                    let situation = Situation {
                        option,
                        has_x2apic,
                        bsp,
                        highest,
                        firmware_x2apic: firmware && has_x2apic,
                        locked: locked && has_x2apic,
                        opt_out,
                    };
                    match choose_mode(&situation) {
                        Ok(choice) => {
                            assert!(choice.mode == Mode::XApic || has_x2apic);
                            assert!(choice.mode == Mode::X2Apic || bsp <= ApicId(254));
                            assert_eq!(
                                choice.leaves_out_cpus,
                                choice.mode == Mode::XApic && highest > ApicId(254)
                            );
                            assert!(!choice.reason.to_string().is_empty());
                        }
                        Err(refusal) => {
                            assert!(option != ModeOption::Auto || !has_x2apic, "{refusal}");
                        }
                    }
                }
            }
        }
    }
}
