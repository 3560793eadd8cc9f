//! [`Clock`]: whether the wall clock can be believed (DESIGN §4). Pure: both clocks are read by the caller.
//!
//! By the wall clock notices take effect and expire. One that is wrong ahead lifts what is to be blocked; so what it says is
//! compared with a clock that only counts, and a jump is believed no sooner than it has lasted.
//!
//! | the wall clock | what is believed |
//! |---|---|
//! | goes as the counting clock does, within [`FAR`] | it |
//! | at the start stands more than [`SLACK`] before the last ledger record | the record's time, running on, until the wall clock has reached the record |
//! | jumps further than [`FAR`], forward | the time before, running on; the wall clock once it has gone evenly for [`SETTLED`] |
//! | jumps further than [`FAR`], back | the same, but from then on the time stands still until the wall clock has reached it |
//! | comes back to what is believed, within [`FAR`] | it, at once |
//!
//! **Time never goes back here.** A notice that has ended and is recorded as ended must not be in force again without an act
//! of somebody, so even a small step back makes the time stand still. A far jump back may be a mistake, and then the time
//! runs on and is right; or it corrects one, as where a machine's clock was read as local time until it heard of the
//! true one, and then running on would leave everything too early for good. The two cannot be told apart, but the
//! mistake is usually mended within [`SETTLED`]. After that the time stands: what expired too early stays expired, and
//! nothing more does; it is right again by itself. All the while the clock is [held](State::Held), for somebody to look.
//!
//! **Far is an hour, both ways.** Slewing, leap seconds (smeared or stepped by the system) and corrections are within
//! it. Beyond it are the usual mistakes: a time zone (a day would let them all through), a month, a year. A machine that
//! slept, or a clock that is set right, loses [`SETTLED`] by it, which no order is measured by. Summer time and offsets
//! are none of it: a [`Timestamp`] is UTC.
//!
//! A clock that is wrong ahead at the start is not found out: a machine may have been off for as long. Nor is one that errs
//! by less than an hour.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A jump of more than this, against the counting clock, is far.
pub const FAR: SignedDuration = SignedDuration::from_hours(1);
/// A start may be before the last ledger record by so much: its time may stand still for that long.
pub const SLACK: SignedDuration = SignedDuration::from_mins(5);
/// A clock that jumped is believed when it has gone evenly for so long.
pub const SETTLED: Duration = Duration::from_secs(15 * 60);

/// See the module's header.
#[derive(Debug)]
pub struct Clock {
    last_record: Option<Timestamp>,
    /// Nothing before the first reading.
    course: Option<Course>,
}

/// What was read, and what is made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time to go by. Never before that of the last reading.
    pub now: Timestamp,
    /// Whether it is the wall clock's.
    pub state: State,
    /// Whether it is held now and was not before, or the other way round: to be said.
    pub changed: bool,
}

/// Whether the wall clock is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is; at most [`FAR`] behind the time that was believed before.
    Sane,
    /// It is not, or is so far behind that the time stands still.
    Held {
        /// What it says.
        wall: Timestamp,
        /// When it, or the last ledger record, was believed last.
        last: Timestamp,
    },
}

impl State {
    /// Whether the wall clock is not believed.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Held { .. })
    }
}

/// The clocks at the last reading.
#[derive(Clone, Copy, Debug)]
struct Course {
    wall: Timestamp,
    counted: Duration,
    now: Timestamp,
    /// The time by the counting clock, since the wall clock was sane.
    reckoned: Timestamp,
    /// The last time that was believed.
    last: Timestamp,
    trust: Trust,
    is_held: bool,
}

/// Why the wall clock is believed or not.
#[derive(Clone, Copy, Debug)]
enum Trust {
    /// It is gone by.
    Followed,
    /// It jumped, the last time when the counting clock said this.
    Jumped(Duration),
    /// It is before this ledger record.
    BeforeRecord(Timestamp),
}

impl Clock {
    /// `last_record` is the time of the last ledger record, if there is one.
    pub const fn new(last_record: Option<Timestamp>) -> Self {
        Self { last_record, course: None }
    }

    /// Says what to make of both clocks. `counted` is the time since any origin by a clock that nobody sets; one that goes
    /// on while the machine sleeps (`CLOCK_BOOTTIME`) makes of sleep what it is, not a jump.
    pub fn read(&mut self, wall: Timestamp, counted: Duration) -> Reading {
        let was_held = self.course.is_some_and(|course| course.is_held);
        let mut course = match self.course {
            Some(course) => course.after(wall, counted),
            None => Course::begin(wall, counted, self.last_record),
        };
        let is_far_behind = course.now.duration_since(wall) > FAR;
        course.is_held = is_far_behind || !matches!(course.trust, Trust::Followed);
        if !course.is_held {
            (course.reckoned, course.last) = (wall, course.now);
        }
        self.course = Some(course);
        let state = if course.is_held { State::Held { wall, last: course.last } } else { State::Sane };
        Reading { now: course.now, state, changed: course.is_held != was_held }
    }
}

impl Course {
    fn begin(wall: Timestamp, counted: Duration, last_record: Option<Timestamp>) -> Self {
        let now = last_record.map_or(wall, |record| record.max(wall));
        let trust = match last_record {
            Some(record) if record.duration_since(wall) > SLACK => Trust::BeforeRecord(record),
            _ => Trust::Followed,
        };
        Self { wall, counted, now, reckoned: now, last: now, trust, is_held: false }
    }

    /// The course after another reading.
    fn after(self, wall: Timestamp, counted: Duration) -> Self {
        let passed = SignedDuration::try_from(counted.saturating_sub(self.counted)).unwrap_or(SignedDuration::MAX);
        let reckoned = later(self.reckoned, passed);
        let has_jumped = is_far(wall, later(self.wall, passed));
        let trust = match self.trust {
            Trust::BeforeRecord(record) if wall < record => self.trust,
            Trust::BeforeRecord(_) => Trust::Followed,
            Trust::Followed | Trust::Jumped(_) if !is_far(wall, reckoned) => Trust::Followed,
            Trust::Followed | Trust::Jumped(_) if has_jumped => Trust::Jumped(counted),
            Trust::Jumped(since) if counted.saturating_sub(since) < SETTLED => self.trust,
            Trust::Followed | Trust::Jumped(_) => Trust::Followed,
        };
        let now = match trust {
            Trust::Followed => self.now.max(wall),
            Trust::Jumped(_) | Trust::BeforeRecord(_) => later(self.now, passed),
        };
        Self { wall, counted, now, reckoned, trust, ..self }
    }
}

/// At the end of time it stands still.
fn later(at: Timestamp, passed: SignedDuration) -> Timestamp {
    at.checked_add(passed).unwrap_or(Timestamp::MAX)
}

fn is_far(a: Timestamp, b: Timestamp) -> bool {
    let apart = a.duration_since(b);
    apart > FAR || apart < -FAR
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;

    /// A morning in 2026.
    fn morning() -> Timestamp {
        "2026-11-23T08:00:00Z".parse().unwrap()
    }

    fn after(at: Timestamp, seconds: i64) -> Timestamp {
        at + SignedDuration::from_secs(seconds)
    }

    /// A machine: time passes, and its clock is set. Times are in seconds since [`morning`].
    struct Machine {
        clock: Clock,
        up: i64,
        wall: i64,
    }

    impl Machine {
        fn start(last_record: Option<i64>, wall: i64) -> (Self, Reading) {
            let clock = Clock::new(last_record.map(|record| after(morning(), record)));
            let mut machine = Self { clock, up: 100, wall };
            let first = machine.read();
            (machine, first)
        }

        fn read(&mut self) -> Reading {
            self.clock.read(after(morning(), self.wall), Duration::from_secs(self.up as u64))
        }

        /// Sets the clock by so much.
        fn set(&mut self, by: i64) -> Reading {
            self.wall += by;
            self.read()
        }

        /// Lets time pass, looking every second at first and every half minute later.
        fn pass(&mut self, seconds: i64) -> Reading {
            let mut last = self.read();
            let end = self.up + seconds;
            while self.up < end {
                let step = if end - self.up > 60 { 30 } else { 1 };
                (self.up, self.wall) = (self.up + step, self.wall + step);
                let reading = self.read();
                let changed = last.changed || reading.changed;
                last = Reading { changed, ..reading };
            }
            last
        }
    }

    fn sane(reading: Reading) -> i64 {
        assert_eq!(reading.state, State::Sane, "{reading:?}");
        reading.now.duration_since(morning()).as_secs()
    }

    fn held(reading: Reading) -> i64 {
        assert!(reading.state.is_held(), "{reading:?}");
        reading.now.duration_since(morning()).as_secs()
    }

    #[test]
    fn a_machine_whose_clock_has_no_battery() {
        let (mut machine, first) = Machine::start(Some(0), -20 * YEAR);
        assert_eq!((held(first), first.changed), (0, true));
        let State::Held { wall, last } = first.state else { panic!() };
        assert_eq!((wall, last), (after(morning(), -20 * YEAR), morning()));
        assert_eq!(held(machine.pass(2 * HOUR)), 2 * HOUR, "it runs on, however long");
        let right = machine.set(20 * YEAR + 5 * DAY); // it was off for five days, and hears of the true time
        assert_eq!((sane(right), right.changed), (2 * HOUR + 5 * DAY, true));
        assert_eq!(sane(machine.pass(60)), 2 * HOUR + 5 * DAY + 60);
    }

    #[test]
    fn a_start_a_little_before_the_last_record() {
        let (mut machine, first) = Machine::start(Some(0), -200);
        assert_eq!((sane(first), first.changed), (0, false));
        assert_eq!(sane(machine.pass(200)), 0, "it stands still");
        assert_eq!(sane(machine.pass(10)), 10);
    }

    #[test]
    fn a_start_without_records_or_long_after_the_last_one() {
        assert_eq!(sane(Machine::start(None, -20 * YEAR).1), -20 * YEAR);
        assert_eq!(sane(Machine::start(Some(0), YEAR).1), YEAR);
    }

    #[test]
    fn a_record_of_a_time_when_the_clock_was_ahead() {
        let (mut machine, first) = Machine::start(Some(0), -2 * HOUR);
        assert_eq!(held(first), 0);
        assert_eq!(held(machine.pass(2 * HOUR - 60)), 2 * HOUR - 60);
        // the wall clock has reached the record; from now on time stands still, and the clock is held while it is far behind
        let stands = held(machine.pass(120));
        assert!((2 * HOUR - 60..2 * HOUR).contains(&stands), "{stands}");
        assert_eq!(sane(machine.pass(2 * HOUR)), 2 * HOUR + 60);
    }

    #[test]
    fn small_steps_are_followed_and_never_back() {
        let (mut machine, _) = Machine::start(Some(0), 0);
        machine.pass(HOUR);
        assert_eq!(sane(machine.set(1_800)), HOUR + 1_800);
        assert_eq!(sane(machine.set(-1_800)), HOUR + 1_800);
        assert_eq!(sane(machine.pass(1_800)), HOUR + 1_800, "until the wall clock has caught up");
        assert_eq!(sane(machine.pass(60)), HOUR + 1_860);
        assert!(!machine.set(1).changed, "a leap second");
    }

    #[test]
    fn a_virtual_machine_that_goes_on_after_two_days() {
        let (mut machine, _) = Machine::start(Some(0), 0);
        let resumed = machine.set(2 * DAY);
        assert_eq!((held(resumed), resumed.changed), (0, true));
        assert_eq!(held(machine.pass(14 * 60)), 14 * 60);
        let believed = machine.pass(60);
        assert_eq!((sane(believed), believed.changed), (2 * DAY + 15 * 60, true));
    }

    #[test]
    fn the_operator_sets_the_wrong_year_and_mends_it() {
        let (mut machine, _) = Machine::start(Some(0), 0);
        assert_eq!(held(machine.set(YEAR)), 0);
        assert_eq!(held(machine.pass(600)), 600);
        let mended = machine.set(-YEAR + 7);
        assert_eq!((sane(mended), mended.changed), (607, true), "at once, and nothing had expired");
    }

    #[test]
    fn every_further_jump_is_looked_at_as_long() {
        let (mut machine, _) = Machine::start(Some(0), 0);
        machine.set(YEAR);
        assert_eq!(held(machine.pass(14 * 60)), 14 * 60);
        assert!(!machine.set(YEAR).changed);
        assert_eq!(held(machine.pass(14 * 60)), 28 * 60);
        assert_eq!(sane(machine.pass(60)), 2 * YEAR + 29 * 60);
    }

    #[test]
    fn a_clock_read_as_local_time_until_it_hears_of_the_true_one() {
        let (mut machine, _) = Machine::start(None, 8 * HOUR);
        machine.pass(60);
        assert_eq!(held(machine.set(-8 * HOUR)), 8 * HOUR + 60);
        assert_eq!(held(machine.pass(14 * 60)), 8 * HOUR + 15 * 60);
        let stands = held(machine.pass(HOUR));
        assert_eq!(stands, held(machine.pass(5 * HOUR)), "nothing more expires too early");
        assert_eq!(sane(machine.pass(2 * HOUR)), stands, "less than an hour is left");
        assert_eq!(sane(machine.pass(2 * HOUR)), machine.wall, "and it is right again");
    }

    #[test]
    fn a_clock_set_back_by_mistake_for_a_day() {
        let (mut machine, _) = Machine::start(None, 0);
        machine.set(-YEAR);
        let stands = held(machine.pass(DAY));
        assert!((15 * 60 - 30..=15 * 60).contains(&stands), "{stands}");
        assert_eq!(sane(machine.set(YEAR)), DAY, "mended, it is believed at once");
    }

    #[test]
    fn at_the_end_of_time_it_stands() {
        let mut clock = Clock::new(Some(Timestamp::MAX));
        clock.read(Timestamp::MIN, Duration::ZERO);
        assert_eq!(clock.read(Timestamp::MIN, Duration::MAX).now, Timestamp::MAX);
        let mut clock = Clock::new(None);
        clock.read(Timestamp::MIN, Duration::MAX);
        assert_eq!(clock.read(Timestamp::MAX, Duration::ZERO).now, Timestamp::MIN);
    }

    /// How long passes before a look, and by how much the clock has been set.
    fn looks(most: i64) -> impl Strategy<Value = Vec<(i64, i64)>> {
        let by = prop_oneof![4 => Just(0), 1 => -30i64..30, 1 => -most..most];
        vec((0i64..1_200, by), 1..60)
    }

    proptest! {
        #[test]
        fn time_never_goes_back_and_it_is_right_in_the_end(
            record in prop::option::of(-2 * DAY..2 * DAY),
            looks in looks(3 * DAY),
        ) {
            let (mut machine, mut last) = Machine::start(record, 0);
            prop_assert_eq!(last.changed, last.state.is_held());
            for (passes, by) in looks {
                (machine.up, machine.wall) = (machine.up + passes, machine.wall + passes + by);
                let reading = machine.read();
                prop_assert!(reading.now >= last.now);
                prop_assert!(record.is_none_or(|record| reading.now >= after(morning(), record)));
                prop_assert_eq!(reading.changed, reading.state.is_held() != last.state.is_held());
                last = reading;
            }
            // whatever it was, it ends: the clock goes evenly from now on
            machine.pass(1_000);
            (machine.up, machine.wall) = (machine.up + YEAR, machine.wall + YEAR);
            prop_assert_eq!(sane(machine.read()), machine.wall);
        }

        #[test]
        fn held_time_runs_by_the_counting_clock(
            jump in prop_oneof![HOUR + 1..YEAR, -YEAR..-HOUR],
            steps in vec(1i64..60, 1..15),
        ) {
            let (mut machine, _) = Machine::start(Some(0), 0);
            let mut expected = held(machine.set(jump));
            for step in steps {
                (machine.up, machine.wall) = (machine.up + step, machine.wall + step);
                expected += step;
                prop_assert_eq!(held(machine.read()), expected);
            }
        }

        #[test]
        fn before_the_record_too(behind in 301..YEAR, steps in vec(1i64..3_000, 1..15)) {
            let (mut machine, first) = Machine::start(Some(0), -behind);
            let mut expected = held(first);
            for step in steps {
                (machine.up, machine.wall) = (machine.up + step, machine.wall + step);
                if machine.wall >= 0 {
                    break;
                }
                expected += step;
                prop_assert_eq!(held(machine.read()), expected);
            }
        }

        #[test]
        fn a_clock_that_goes_within_an_hour_is_followed(offsets in vec((0i64..100_000, -1_800i64..=1_800), 1..60)) {
            let (mut machine, first) = Machine::start(None, 0);
            let (start, mut latest) = (machine.up, first.now);
            for (passes, offset) in offsets {
                machine.up += passes;
                machine.wall = machine.up - start + offset;
                let reading = machine.read();
                latest = latest.max(after(morning(), machine.wall));
                prop_assert_eq!((reading.state, reading.now), (State::Sane, latest));
            }
        }
    }
}
