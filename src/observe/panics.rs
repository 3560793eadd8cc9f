//! [`report`]: a panic in the log as any other error, without what it may know.
//!
//! The message of a panic may quote data: `unwrap` on an error shows the error, and that may hold a query name or one
//! of a secret notice. A message that was written out in the source holds none and is logged; one that was put together
//! at run time is withheld above debug, like every name ([`super::log`]). The place is enough to find the mistake.
//!
//! A packet that makes a worker panic can be sent again and again, so one panic a second is logged for each place, with
//! how many came before it; `pagar_dns_dropped_total{reason="panic"}` counts them all.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::collections::BTreeMap;
use std::panic::PanicHookInfo;
use std::sync::{Mutex, PoisonError};

use super::throttle::Throttle;

/// By place; there are no more than the program has.
static SAID: Mutex<BTreeMap<String, Throttle>> = Mutex::new(BTreeMap::new());

/// Takes the place of the standard panic hook, which prints the whole message to stderr.
pub fn report() {
    std::panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let Some(held) = pass(&place) else { return };
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let more = if held > 0 { format!(", and {held} more there since the last line") } else { String::new() };
    tracing::error!(thread, place, "panic: {}{more}", public(info.payload()));
    if let Some(message) = info.payload().downcast_ref::<String>() {
        tracing::debug!(message, "what the panic says");
    }
    let backtrace = Backtrace::capture(); // of functions and lines only; RUST_BACKTRACE asks for it
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!("backtrace of the panic:\n{backtrace}");
    }
}

/// Whether a panic at this place is to be logged, and how many there were not.
fn pass(place: &str) -> Option<u64> {
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner); // whatever panicked, it was not in here
    if let Some(known) = said.get(place) {
        return known.pass();
    }
    said.entry(place.to_owned()).or_default().pass()
}

/// What may be said of a panic's message.
fn public(payload: &(dyn Any + Send)) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("its message is withheld, since it may quote a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_text_is_shown_and_data_is_not() {
        assert_eq!(public(&"index is empty"), "index is empty");
        let payload: Box<dyn Any + Send> = Box::new(format!("bad name {}", "secret.example"));
        assert!(!public(&*payload).contains("secret.example"));
    }

    #[test]
    fn a_place_is_not_said_twice_within_a_second_and_hides_no_other() {
        assert_eq!(pass("one.rs:1:1"), Some(0));
        let again = std::array::from_fn::<_, 100, _>(|_| pass("one.rs:1:1"));
        assert!(again.contains(&None), "a hundred within some microseconds");
        assert_eq!(pass("two.rs:1:1"), Some(0));
    }

    #[test]
    fn a_panic_with_data_is_a_string_and_one_without_is_not() {
        let caught = |f: fn()| std::panic::catch_unwind(f).unwrap_err();
        assert_eq!(public(&*caught(|| panic!("plain"))), "plain");
        let name = || panic!("{} is bad", std::hint::black_box("secret.example"));
        assert!(!public(&*caught(name)).contains("secret"));
    }
}
