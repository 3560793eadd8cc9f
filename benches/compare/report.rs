//! [`markdown`]: the results as tables.

use std::fmt::{self, Write};

use crate::results::{Results, Row, WORKLOADS, longest_millis, median_millis};

const MIB: f64 = (1 << 20) as f64;

/// The whole report.
pub(crate) fn markdown(results: &Results) -> Result<String, fmt::Error> {
    let mut text = String::from("# Compared\n\n");
    for fact in &results.facts {
        writeln!(text, "- {fact}")?;
    }
    for note in &results.notes {
        writeln!(text, "- **left out:** {note}")?;
    }
    cpu(results, &mut text)?;
    limits(results, &mut text)?;
    latency(results, &mut text)?;
    swaps(results, &mut text)?;
    starts(results, &mut text)?;
    Ok(text)
}

fn cpu(results: &Results, to: &mut String) -> fmt::Result {
    if results.rows.iter().all(|row| row.cpu[0].is_empty()) {
        return Ok(());
    }
    writeln!(to, "\n## CPU microseconds an answer, saturated, and the ratio to the reflector of the same round\n")?;
    writeln!(
        to,
        "| server | W1 listed | ratio | W2 cached | ratio | W3 mixed | ratio |\n|---|---|---|---|---|---|---|"
    )?;
    for row in results.good() {
        write!(to, "| {} |", row.name)?;
        for workload in 0..WORKLOADS {
            match results.cost(row, workload) {
                Some(cost) => write!(to, " {:.2} | {:.2} |", cost.micros, cost.ratio)?,
                None => write!(to, " | |")?,
            }
        }
        writeln!(to)?;
    }
    writeln!(
        to,
        "\nW3: 2 % listed, 93 % cached, 5 % that must be asked of the upstream. CPU time is that of all threads."
    )
}

/// Whether the figures above mean what they seem to.
fn limits(results: &Results, to: &mut String) -> fmt::Result {
    if results.rows.iter().all(|row| row.cpu[0].is_empty()) {
        return Ok(());
    }
    writeln!(to, "\n## Was the server the limit? Answers a second, its part of its core, what was lost or wrong\n")?;
    writeln!(to, "| server | W1 | part | W2 | part | W3 | part | lost | wrong | core, W1 |")?;
    writeln!(to, "|---|---|---|---|---|---|---|---|---|---|")?;
    for row in results.good() {
        write!(to, "| {} |", row.name)?;
        let costs = [0, 1, 2].map(|workload| results.cost(row, workload));
        for cost in costs.iter().flatten() {
            write!(to, " {:.0} k | {:.0} % |", cost.rate / 1e3, cost.share * 1e2)?;
        }
        let sum = |of: fn(&crate::results::Cost) -> u64| costs.iter().flatten().map(of).sum::<u64>();
        let core = costs[0].as_ref().map_or(0.0, |cost| cost.core);
        writeln!(to, " {} | {} | {core:.2} |", sum(|cost| cost.lost), sum(|cost| cost.wrong))?;
    }
    writeln!(
        to,
        "\nThe reflector's answers a second are what the generator can do. Where the part is well below 100 %, the server\n\
         has waited: its CPU time an answer is right, but for batches that were smaller than under full load. \"Core\" is\n\
         microseconds of the whole core an answer, whoever spent them: much more than the threads' time means that the\n\
         kernel worked for the server outside of them, or that the machine was not quiet."
    )
}

fn latency(results: &Results, to: &mut String) -> fmt::Result {
    if results.rows.iter().all(|row| row.delays.is_empty()) {
        return Ok(());
    }
    writeln!(to, "\n## Delay of cached answers at a steady rate, from when the question was due (ms)\n")?;
    writeln!(to, "| server | p50 | p99 | p99.9 | longest silence | lost | generator late by (p99.9) |")?;
    writeln!(to, "|---|---|---|---|---|---|---|")?;
    for row in results.good().filter(|row| !row.delays.is_empty()) {
        let [p50, p99, p999] = [row.delay(|d| d.p50), row.delay(|d| d.p99), row.delay(|d| d.p999)];
        let (silence, own) = (row.delay(|d| d.silence), row.delay(|d| d.own));
        let lost = lost(row.delays.iter());
        writeln!(to, "| {} | {p50:.3} | {p99:.3} | {p999:.3} | {silence:.1} | {lost} | {own:.3} |", row.name)?;
    }
    Ok(())
}

/// What was lost of all that was asked.
fn lost<'a>(delays: impl Iterator<Item = &'a crate::open::Delays>) -> String {
    let (lost, wrong, asked) =
        delays.fold((0, 0, 0), |(lost, wrong, asked), next| (lost + next.lost, wrong + next.wrong, asked + next.asked));
    match (lost, wrong) {
        (0, _) => "0".to_owned(),
        (lost, 0) => format!("{lost} ({:.2} %)", lost as f64 * 1e2 / asked.max(1) as f64),
        (lost, wrong) => format!("{lost} ({:.2} %), {wrong} of them wrong", lost as f64 * 1e2 / asked.max(1) as f64),
    }
}

fn swaps(results: &Results, to: &mut String) -> fmt::Result {
    if results.rows.iter().all(|row| row.swapped.is_none()) {
        return Ok(());
    }
    writeln!(to, "\n## The whole list swapped while cached questions come\n")?;
    writeln!(
        to,
        "| server | swaps seen | in force after (ms), median | longest | lost | p99 (ms) | longest silence (ms) | \
         resident after each (MiB) |"
    )?;
    writeln!(to, "|---|---|---|---|---|---|---|---|")?;
    for (row, swapped) in results.servers().filter_map(|row| Some((row, row.swapped.as_ref()?))) {
        let resident: Vec<String> =
            swapped.resident.iter().map(|octets| format!("{:.0}", *octets as f64 / MIB)).collect();
        writeln!(
            to,
            "| {} | {} of {} | {:.0} | {:.0} | {} | {:.3} | {:.1} | {} |",
            row.name,
            swapped.took.len(),
            swapped.took.len() + swapped.failed,
            median_millis(&swapped.took),
            longest_millis(&swapped.took),
            lost([swapped.delays].iter()),
            swapped.delays.p99.as_secs_f64() * 1e3,
            swapped.delays.silence.as_secs_f64() * 1e3,
            resident.join(" ")
        )?;
    }
    Ok(())
}

fn starts(results: &Results, to: &mut String) -> fmt::Result {
    writeln!(to, "\n## Memory and start; one name added and lifted\n")?;
    writeln!(
        to,
        "| server | resident (MiB) | octets a name | start to first right blocked answer (s) | \
         one name added (ms), median, longest | lifted |"
    )?;
    writeln!(to, "|---|---|---|---|---|---|")?;
    for row in results.servers() {
        let start = &row.start;
        let (resident, took) = (start.resident as f64 / MIB, start.took.as_secs_f64());
        write!(to, "| {} | {resident:.0} | {:.1} | {took:.2} |", row.name, start.octets_a_name)?;
        writeln!(to, "{}", changes(row))?;
    }
    Ok(())
}

fn changes(row: &Row) -> String {
    let Some(changes) = &row.changes else { return " | |".to_owned() };
    let both = |times| format!("{:.1}, {:.1}", median_millis(times), longest_millis(times));
    format!(" {} | {} |", both(&changes.added), both(&changes.lifted))
}
