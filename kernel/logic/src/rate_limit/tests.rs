use super::RateLimit;

#[test]
fn a_burst_then_one_per_interval_with_the_number_suppressed() {
    let mut limit = RateLimit::new(3, 100);
    let times: [u64; 10] = core::array::from_fn(|time| 1000 + time as u64);
    let answers = times.map(|time| limit.allow(time));
    assert_eq!(answers[..3], [Some(0); 3]);
    assert_eq!(answers[3..], [None; 7]);
    assert_eq!(limit.allow(1100), Some(7));
    assert_eq!(limit.allow(1101), None);
    assert_eq!(limit.allow(1200), Some(1));
}

#[test]
fn a_quiet_interval_brings_the_burst_back() {
    let mut limit = RateLimit::new(2, 100);
    assert_eq!(
        [0, 1, 2].map(|time| limit.allow(time)),
        [Some(0), Some(0), None]
    );
    assert_eq!(limit.allow(100), Some(1));
    assert_eq!(
        [300, 301, 302].map(|time| limit.allow(time)),
        [Some(0), Some(0), None]
    );
}

#[test]
fn every_event_is_counted() {
    let mut limit = RateLimit::new(4, 50);
    let (mut reported, mut events) = (0, 0);
    for time in 0..10_000 {
        events += 1;
        reported += limit.allow(time).map_or(0, |suppressed| suppressed + 1);
    }
    // The events that no report accounts for are those suppressed since the last report.
    assert!(events - reported < 50, "{reported} of {events}");
}

#[test]
fn the_end_of_time_does_not_overflow() {
    let mut limit = RateLimit::new(1, u64::MAX);
    assert_eq!(limit.allow(u64::MAX), Some(0));
    assert_eq!(limit.allow(u64::MAX), Some(0));
}
