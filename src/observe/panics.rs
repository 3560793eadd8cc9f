//! [`report`]: a panic in the log as any other error, without what it may know.
//!
//! The message of a panic may quote data: `unwrap` on an error shows the error, and that may hold a query name or one
//! of a secret notice. A message that was written out in the source holds none and is logged; one that was put together
//! at run time is withheld above debug, like every name ([`super::log`]). The place is enough to find the mistake.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;

/// Takes the place of the standard panic hook, which prints the whole message to stderr.
pub fn report() {
    std::panic::set_hook(Box::new(log));
}

fn log(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    tracing::error!(thread, place, "panic: {}", public(info.payload()));
    if let Some(message) = info.payload().downcast_ref::<String>() {
        tracing::debug!(message, "what the panic says");
    }
    let backtrace = Backtrace::capture(); // of functions and lines only; RUST_BACKTRACE asks for it
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!("backtrace of the panic:\n{backtrace}");
    }
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
    fn a_panic_with_data_is_a_string_and_one_without_is_not() {
        let caught = |f: fn()| std::panic::catch_unwind(f).unwrap_err();
        assert_eq!(public(&*caught(|| panic!("plain"))), "plain");
        let name = || panic!("{} is bad", std::hint::black_box("secret.example"));
        assert!(!public(&*caught(name)).contains("secret"));
    }
}
