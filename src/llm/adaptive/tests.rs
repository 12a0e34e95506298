//! Against a simulated gateway: how much a pool of workers takes, and how often it is refused.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A gateway that takes so many requests a second, and has room for a tenth of a second.
struct Gateway {
    rate: f64,
    room: f64,
    at: Instant,
}

impl Gateway {
    fn takes(&mut self, now: Instant) -> bool {
        let gained = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.room = (self.room + gained).min((self.rate / 4.0).max(1.0));
        self.at = now;
        let takes = self.room >= 1.0;
        self.room -= if takes { 1.0 } else { 0.0 };
        takes
    }
}

/// Workers that would ask without end, each with so many at once, for so many seconds after a minute of learning: calls
/// that the gateway took and refused.
fn run(workers: usize, slots: u32, rate: f64, latency: Duration, seconds: u32) -> (f64, f64) {
    let begin = Instant::now();
    let mut gateway = Gateway { rate, room: 0.0, at: begin };
    let mut pool: Vec<_> = (0..workers).map(|_| (Adaptive::default(), Vec::new())).collect();
    let (mut taken, mut refused) = (0.0, 0.0);
    for tick in 0..(60 + seconds) * 1000 {
        let now = begin + MS * tick;
        let measured = tick >= 60_000;
        // Who is asked first changes, as it would.
        pool.rotate_left(1);
        for (adaptive, calls) in &mut pool {
            calls.retain(|&(left, until, ending): &(Instant, Instant, Ending)| {
                if now >= until {
                    adaptive.end(left, ending, now);
                }
                now < until
            });
            while calls.len() < slots as usize && adaptive.admit(now).is_ok() {
                let takes = gateway.takes(now);
                let (time, ending) = if takes { (latency, Ending::Took(latency)) } else { (5 * MS, Ending::Limited) };
                // Who was refused waits before trying again, and holds its slot meanwhile.
                calls.push((now, now + time, ending));
                if measured {
                    *(if takes { &mut taken } else { &mut refused }) += 1.0;
                }
            }
        }
    }
    (taken / f64::from(seconds), refused / (taken + refused))
}

#[test]
fn a_pool_takes_what_the_gateway_gives_with_few_refusals() {
    for (workers, slots, rate, latency) in [
        (1, 64, 100.0, 50),
        (1, 256, 100.0, 800),
        (4, 64, 100.0, 800),
        (4, 64, 20.0, 800),
        (8, 64, 50.0, 800),
        (2, 64, 10.0, 2000),
        (3, 256, 400.0, 300),
    ] {
        let (taken, refused) = run(workers, slots, rate, latency * MS, 120);
        let told = format!("{workers} workers at {rate}/s: {taken:.1} taken, {:.2} % refused", refused * 100.0);
        assert!(taken >= 0.95 * rate, "{told}");
        assert!(refused <= 0.05, "{told}");
    }
}

#[test]
fn without_a_sign_nothing_is_held_back_and_after_a_quiet_time_nothing_again() {
    let begin = Instant::now();
    let mut adaptive = Adaptive::default();
    for _ in 0..1000 {
        assert_eq!(adaptive.admit(begin), Ok(()));
    }
    assert!(adaptive.end(begin, Ending::Limited, begin));
    assert_eq!(adaptive.rate(), Some(SLOWEST), "nothing was answered in the last second");
    assert_eq!(adaptive.admit(begin), Ok(()), "one may leave at once");
    assert_eq!(adaptive.admit(begin), Err(Later::At(begin + 500 * MS)));
    assert!(!adaptive.end(begin - MS, Ending::Limited, begin), "it left before the pace was set");
    assert_eq!(adaptive.rate(), Some(SLOWEST));
    let later = begin + QUIET;
    for _ in 0..1000 {
        assert_eq!(adaptive.admit(later), Ok(()));
    }
    assert!(!adaptive.narrowed(later));
}

#[test]
fn the_first_pace_is_what_was_just_answered() {
    let begin = Instant::now();
    let mut adaptive = Adaptive::default();
    for call in 0..200 {
        let now = begin + 10 * MS * call;
        assert_eq!(adaptive.admit(now), Ok(()));
        adaptive.end(now, Ending::Took(10 * MS), now);
    }
    adaptive.end(begin + 2000 * MS, Ending::Limited, begin + 2000 * MS);
    let rate = adaptive.rate().unwrap();
    assert!((95.0..=105.0).contains(&rate), "{rate}");
}

#[test]
fn slow_answers_narrow_the_window_and_quick_ones_widen_it_until_it_is_gone() {
    let begin = Instant::now();
    let mut adaptive = Adaptive::default();
    let mut now = begin;
    let mut round = |adaptive: &mut Adaptive, wanted: u32, time: Duration| {
        let left = (0..wanted).filter(|_| adaptive.admit(now).is_ok()).count();
        let began = now;
        now += time;
        (0..left).for_each(|_| {
            adaptive.end(began, Ending::Took(time), now);
        });
        left
    };
    for _ in 0..10 {
        assert_eq!(round(&mut adaptive, 64, 100 * MS), 64);
    }
    let mut least = 64;
    for _ in 0..20 {
        least = least.min(round(&mut adaptive, 64, 1000 * MS));
    }
    assert!((4..=16).contains(&least), "{least} at once");
    for _ in 0..200 {
        round(&mut adaptive, 64, 100 * MS);
    }
    assert_eq!(round(&mut adaptive, 64, 100 * MS), 64);
}
