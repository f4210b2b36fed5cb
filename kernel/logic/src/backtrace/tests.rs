use super::{LIMIT, Stop, walk};
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

const BOTTOM: u64 = 0x1000;
const TOP: u64 = 0x2000;

/// A stack of words that starts at `BOTTOM`.
struct Stack([u64; 512]);

impl Stack {
    fn new() -> Self {
        Self([0; 512])
    }

    /// Stores a frame at address `at`: the caller's RBP and the return address.
    fn frame(mut self, at: u64, caller: u64, return_address: u64) -> Self {
        let index = ((at - BOTTOM) / 8) as usize;
        self.0[index] = caller;
        self.0[index + 1] = return_address;
        self
    }

    fn walk(&self, rip: u64, rbp: u64) -> (Vec<u64>, Stop) {
        let valid = |address| (BOTTOM..=TOP - 8).contains(&address);
        let read = |address| {
            assert!(valid(address), "read outside the stack: {address:#x}");
            Some(self.0[((address - BOTTOM) / 8) as usize])
        };
        let mut walk = walk(rip, rbp, valid, read);
        assert_eq!(walk.stop(), None);
        let addresses: Vec<u64> = walk.by_ref().collect();
        assert_eq!(walk.next(), None, "the iterator is fused");
        (addresses, walk.stop().expect("a walk that ended says why"))
    }
}

#[test]
fn follows_the_chain_to_its_end() {
    let stack = Stack::new()
        .frame(0x1100, 0x1200, 0xa)
        .frame(0x1200, 0x1300, 0xb)
        .frame(0x1300, 0, 0xc);
    assert_eq!(
        stack.walk(9, 0x1100),
        ([9, 0xa, 0xb, 0xc].to_vec(), Stop::End)
    );
}

#[test]
fn without_a_frame_only_rip_is_known() {
    assert_eq!(Stack::new().walk(9, 0), ([9].to_vec(), Stop::End));
}

#[test]
fn a_null_rip_is_yielded_because_it_was_jumped_to() {
    let stack = Stack::new().frame(0x1100, 0, 0xa);
    assert_eq!(stack.walk(0, 0x1100), ([0, 0xa].to_vec(), Stop::End));
}

#[test]
fn a_null_return_address_ends_the_chain() {
    let stack = Stack::new()
        .frame(0x1100, 0x1200, 0xa)
        .frame(0x1200, 0x1300, 0);
    assert_eq!(
        stack.walk(9, 0x1100),
        ([9, 0xa].to_vec(), Stop::NullReturn(0x1200))
    );
}

#[test]
fn broken_chains_have_a_reason() {
    for (caller, stop) in [
        (0x1204, Stop::Misaligned(0x1204)),
        (0x1100, Stop::NotAbove(0x1100)),
        (0x10f8, Stop::NotAbove(0x10f8)),
        (0x0008, Stop::NotAbove(0x0008)),
        (TOP, Stop::OffStack(TOP)),
        // The return address of this frame would be just above the stack.
        (TOP - 8, Stop::OffStack(TOP - 8)),
        (u64::MAX - 7, Stop::OffStack(u64::MAX - 7)),
    ] {
        let stack = Stack::new().frame(0x1100, caller, 0xa);
        assert_eq!(stack.walk(9, 0x1100), ([9, 0xa].to_vec(), stop));
        assert!(!stop.is_complete());
    }
    assert_eq!(Stack::new().walk(9, 0x0ff8).1, Stop::OffStack(0x0ff8));
}

#[test]
fn unreadable_frames_end_the_chain() {
    let mut walk = walk(
        9,
        0x1100,
        |_| true,
        |address| (address == 0x1100).then_some(0x1200),
    );
    assert_eq!(walk.by_ref().collect::<Vec<_>>(), [9]);
    assert_eq!(walk.stop(), Some(Stop::Unreadable(0x1100)));
}

fn deep(frames: u64) -> Stack {
    (0..frames).fold(Stack::new(), |stack, n| {
        let at = BOTTOM + n * 16;
        let caller = if n + 1 == frames { 0 } else { at + 16 };
        stack.frame(at, caller, 100 + n)
    })
}

#[test]
fn a_chain_that_just_fits_is_complete() {
    let (addresses, stop) = deep(LIMIT as u64 - 1).walk(9, BOTTOM);
    assert_eq!((addresses.len(), stop), (LIMIT, Stop::End));
}

#[test]
fn a_longer_chain_is_truncated() {
    let (addresses, stop) = deep(LIMIT as u64).walk(9, BOTTOM);
    assert_eq!((addresses.len(), stop), (LIMIT, Stop::Limit));
    assert_eq!(stop.to_string(), "more than 32 frames");
}

proptest! {
    /// Whatever is on the stack, the walk ends, reads nothing else and reports why it ended.
    #[test]
    fn invalid_frames_never_leave_the_stack(
        words in prop::collection::vec(
            prop_oneof![BOTTOM..TOP, (BOTTOM / 8..TOP / 8).prop_map(|n| n * 8), any::<u64>()],
            512,
        ),
        rip: u64,
        rbp in prop_oneof![(BOTTOM / 8..TOP / 8).prop_map(|n| n * 8), any::<u64>()],
    ) {
        let stack = Stack(words.try_into().unwrap());
        let (addresses, stop) = stack.walk(rip, rbp);
        prop_assert!((1..=LIMIT).contains(&addresses.len()));
        prop_assert_eq!(addresses[0], rip);
        prop_assert!(!stop.to_string().is_empty());
    }
}
