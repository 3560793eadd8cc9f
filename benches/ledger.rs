//! How long an append to the ledger takes: `cargo bench --bench ledger`, in the directory `DIRECTORY` names or, without
//! it, in the one for temporary files. That should be on the disk the ledger will be on.
//!
//! An append waits for the disk, so each figure stands beside that of the bare minimum: the same octets written to the end
//! of a file, and one fdatasync. `APPENDS` says how many are measured, 500 without it. At the end, how long opening takes
//! after a crash, which is what quick repair is for: a ledger of as many records is opened as a crash would leave it, with
//! quick repair as we use it and without.
//!
//! Without `--bench`, as `cargo test` runs it, it appends a few times to see that it works.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use pagar::ledger::{Event, Ledger};
use pagar::model::{AuthorityId, NoticeId};
use redb::{Database, Durability, TableDefinition};

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");

fn main() {
    let measured = std::env::args().any(|argument| argument == "--bench");
    let number = std::env::var("APPENDS").map_or(500, |number| number.parse().expect("a number"));
    let appends = if measured { number } else { 3 };
    let directory = match std::env::var_os("DIRECTORY") {
        Some(directory) => tempfile::tempdir_in(directory),
        None => tempfile::tempdir(),
    };
    let directory = directory.expect("a directory that can be written");
    for batch in [1, 100] {
        let place = directory.path().join(batch.to_string());
        fs::create_dir(&place).expect("a new directory");
        let octets = ledger(&place, batch, appends);
        bare(&place, batch, appends, octets);
        for quick in [true, false] {
            plain_redb(&place, batch, appends, octets, quick);
        }
    }
}

fn event() -> Event {
    Event::Transition {
        authority: AuthorityId::new("mcmc"),
        notice: NoticeId::new("MCMC-2026-000123"),
        from: "scheduled".into(),
        to: "in force".into(),
        cause: Some("time".into()),
    }
}

fn show(what: &str, batch: usize, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("batch of {batch:3}, {what:32} p50 {:>9.1?}  p99 {:>9.1?}  longest {:>9.1?}", at(50), at(99), at(100));
}

fn timed(appends: usize, mut append: impl FnMut(usize)) -> Vec<Duration> {
    let one = |n| {
        let started = Instant::now();
        append(n);
        started.elapsed()
    };
    (0..appends).map(one).collect()
}

/// Returns the octets of a batch.
fn ledger(place: &Path, batch: usize, appends: usize) -> usize {
    let mut ledger = Ledger::open(place, None).expect("a new ledger");
    let events = vec![event(); batch];
    let times = timed(appends, |_| {
        ledger.append(Timestamp::now(), &events, &[]).expect("room");
    });
    show("ledger", batch, times);
    let octets = ledger.records(1).take(batch).map(|stored| stored.expect("a record").octets.len()).sum::<usize>();
    drop(ledger);
    let size = fs::metadata(place.join(pagar::ledger::database::FILE)).expect("the file").len();
    println!("  {} records of {} octets take {size} octets", batch * appends, octets / batch);
    octets
}

fn bare(place: &Path, batch: usize, appends: usize, octets: usize) {
    let mut file = OpenOptions::new().append(true).create(true).open(place.join("bare")).expect("a new file");
    let text = vec![b'x'; octets];
    let times = timed(appends, |_| {
        file.write_all(&text).expect("room");
        file.sync_data().expect("a disk");
    });
    show("bare write and fdatasync", batch, times);
}

/// The same octets in a table of redb, with and without quick repair, and opening it as a crash would leave it.
fn plain_redb(place: &Path, batch: usize, appends: usize, octets: usize, quick: bool) {
    let words = if quick { "with" } else { "without" };
    let path = place.join(format!("{words}.redb"));
    let database = Database::create(&path).expect("a new database");
    let text = vec![b'x'; octets / batch];
    let times = timed(appends, |n| {
        let mut transaction = database.begin_write().expect("no error so far");
        transaction.set_durability(Durability::Immediate).expect("no savepoint");
        transaction.set_quick_repair(quick);
        let mut table = transaction.open_table(TABLE).expect("the table");
        for k in 0..batch {
            table.insert((n * batch + k) as u64, &*text).expect("room");
        }
        drop(table);
        transaction.commit().expect("a disk");
    });
    show(&format!("redb {words} quick repair"), batch, times);
    let crashed = path.with_extension("crashed");
    fs::copy(&path, &crashed).expect("room"); // while it is open: as it would be after a crash
    File::open(&crashed).and_then(|file| file.sync_all()).expect("a disk");
    let started = Instant::now();
    drop(Database::open(&crashed).expect("a database"));
    println!("  opened after a crash in {:.1?}", started.elapsed());
}
