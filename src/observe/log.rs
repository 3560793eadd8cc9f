//! [`init`]: where the log goes, in which form, and what of it.
//!
//! The log goes to stderr, so that the output of a command stays clean and systemd keeps it. One line an event, but for
//! lists of mistakes and backtraces; times in UTC. Where stderr is systemd's journal, every line begins with its
//! priority (`<3>`, sd-daemon(3)), so that `journalctl -p warning` finds it, and the time is left to the journal.
//!
//! **Rule for every log statement of the program: no query name and no client address above debug level** (REGULATION
//! §7). Who looked up what is nobody's business, and names of the secret class are not to be written at all. Names in
//! notices of the operator's own files may be named in an error about that file.
//!
//! Other crates log from warn up; hickory from error up, because its warnings about forged answers quote the question.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Who reads the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// [`Format::Journal`] if stderr is systemd's journal, otherwise [`Format::Human`].
    #[default]
    Auto,
    /// A person: text, with colours if stderr is a terminal and `NO_COLOR` is not set.
    Human,
    /// A machine: one JSON object a line.
    Json,
    /// systemd's journal: text, with priorities and without times. Not for the configuration to say.
    Journal,
}

/// Starts logging, for the whole process; a second call changes nothing. `colour` overrules the guess.
pub fn init(format: Format, level: Level, colour: Option<bool>) {
    let wanted = || io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colour = colour.unwrap_or_else(wanted);
    let format = if format == Format::Auto && is_journal() { Format::Journal } else { format };
    // an error says that somebody started logging before, which only tests do
    let _ = subscriber(format, level, colour, io::stderr).try_init();
}

/// Whether `JOURNAL_STREAM` names the stream that stderr is (systemd.exec(5)); it may be inherited by a program whose
/// stderr goes elsewhere.
fn is_journal() -> bool {
    let Ok(journal) = std::env::var("JOURNAL_STREAM") else { return false };
    let stderr = || File::from(io::stderr().as_fd().try_clone_to_owned()?).metadata();
    stderr().is_ok_and(|stderr| journal == format!("{}:{}", stderr.dev(), stderr.ino()))
}

/// Makes writers that put the priority before every line.
struct Prioritised<M>(M);

impl<'w, M: MakeWriter<'w>> MakeWriter<'w> for Prioritised<M> {
    type Writer = Prefixed<M::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Prefixed { prefix: b"<6>", writer: self.0.make_writer() }
    }

    fn make_writer_for(&'w self, event: &Metadata<'_>) -> Self::Writer {
        let prefix = match *event.level() {
            Level::ERROR => b"<3>",
            Level::WARN => b"<4>",
            Level::INFO => b"<6>",
            Level::DEBUG | Level::TRACE => b"<7>",
        };
        Prefixed { prefix, writer: self.0.make_writer_for(event) }
    }
}

struct Prefixed<W> {
    prefix: &'static [u8; 3],
    writer: W,
}

impl<W: Write> Write for Prefixed<W> {
    /// An event comes whole, and leaves whole.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let lines = event.split_inclusive(|octet| *octet == b'\n');
        self.writer.write_all(&lines.flat_map(|line| [&self.prefix[..], line]).collect::<Vec<_>>().concat())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn subscriber<W>(format: Format, level: Level, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    Registry::default().with(layer(format, colour, writer).with_filter(targets(level)))
}

fn layer<S, W>(format: Format, colour: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    match format {
        Format::Auto | Format::Human => fmt::layer().with_ansi(colour).with_target(false).with_writer(writer).boxed(),
        Format::Journal => {
            fmt::layer().with_ansi(false).with_target(false).without_time().with_writer(Prioritised(writer)).boxed()
        }
        Format::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    }
}

/// Ours at `level`; the others never say more than we do.
fn targets(level: Level) -> Targets {
    let level = LevelFilter::from_level(level);
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("hickory", LevelFilter::ERROR) // a prefix: all of its crates
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(octets)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, level: Level, events: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        tracing::subscriber::with_default(subscriber(format, level, false, move || writer.clone()), events);
        String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_person_gets_a_line_without_colours_in_a_file() {
        let log = logged(Format::Auto, Level::INFO, || tracing::info!(serial = 7, "policy published"));
        assert!(log.ends_with(" INFO policy published serial=7\n"), "{log:?}");
    }

    #[test]
    fn the_journal_gets_the_priority_of_every_line_and_no_time() {
        let log = logged(Format::Journal, Level::DEBUG, || {
            tracing::error!("not reloaded:\na\nb");
            tracing::warn!("odd");
            tracing::info!(serial = 7, "published");
            tracing::debug!("more");
        });
        assert_eq!(
            log,
            "<3>ERROR not reloaded:\n<3>a\n<3>b\n<4> WARN odd\n<6> INFO published serial=7\n<7>DEBUG more\n"
        );
    }

    #[test]
    fn a_machine_gets_one_object_a_line() {
        let log = logged(Format::Json, Level::INFO, || {
            tracing::info!(serial = 7, "policy\npublished");
            tracing::warn!("two");
        });
        let events: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events.len(), 2);
        assert_eq!((&events[0]["level"], &events[0]["message"]), (&"INFO".into(), &"policy\npublished".into()));
        assert_eq!(events[0]["serial"], 7);
        assert_eq!(events[0]["target"], "pagar::observe::log::tests");
    }

    #[test]
    fn others_say_less_than_we_do() {
        let events = || {
            tracing::debug!("ours");
            tracing::info!(target: "hyper::proto", "chatter");
            tracing::warn!(target: "notify", "lost a watch");
            tracing::warn!(target: "hickory_net::udp", "forged: www.example");
            tracing::error!(target: "hickory_net::udp", "broken");
        };
        let log = logged(Format::Human, Level::DEBUG, events);
        let seen = ["ours", "chatter", "lost a watch", "www.example", "broken"].map(|word| log.contains(word));
        assert_eq!(seen, [true, false, true, false, true], "{log}");
        let log = logged(Format::Human, Level::ERROR, events);
        assert!(!log.contains("ours") && !log.contains("lost a watch") && log.contains("broken"), "{log}");
    }
}
