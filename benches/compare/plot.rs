//! [`svg`]: what an answer costs, as bars.

use std::fmt::{self, Write};

use crate::results::{Results, WORKLOADS};

const COLOURS: [&str; WORKLOADS] = ["#c0392b", "#2980b9", "#7f8c8d"];
const LABELS: [&str; WORKLOADS] = ["W1 listed", "W2 cached", "W3 mixed"];
const LEFT: f64 = 130.0;
const WIDTH: f64 = 560.0;
const BAR: f64 = 13.0;
const GAP: f64 = 14.0;
const TOP: f64 = 56.0;

/// A bar a server and workload, in microseconds of CPU time.
pub(crate) fn svg(results: &Results) -> Result<String, fmt::Error> {
    let costs: Vec<(&str, [f64; WORKLOADS])> = results
        .good()
        .map(|row| (row.name.as_str(), [0, 1, 2].map(|n| results.cost(row, n).map_or(0.0, |cost| cost.micros))))
        .collect();
    let most = costs.iter().flat_map(|(_, micros)| micros).fold(1.0, |most: f64, micros| most.max(*micros));
    let group = BAR * WORKLOADS as f64 + GAP;
    let height = TOP + group * costs.len() as f64 + 10.0;
    let (width, mut text) = (LEFT + WIDTH + 70.0, String::new());
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"10\" y=\"20\" font-size=\"14\">CPU microseconds an answer (one core, saturated)</text>"
    )?;
    for (n, (label, colour)) in LABELS.iter().zip(COLOURS).enumerate() {
        let x = LEFT + 110.0 * n as f64;
        writeln!(text, "<rect x=\"{x}\" y=\"31\" width=\"12\" height=\"12\" fill=\"{colour}\"/>")?;
        writeln!(text, "<text x=\"{}\" y=\"41\">{label}</text>", x + 17.0)?;
    }
    for (n, (name, micros)) in costs.iter().enumerate() {
        let y = TOP + group * n as f64;
        let middle = y + BAR * WORKLOADS as f64 / 2.0 + 4.0;
        writeln!(text, "<text x=\"{}\" y=\"{middle:.1}\" text-anchor=\"end\">{name}</text>", LEFT - 8.0)?;
        for (bar, (micros, colour)) in micros.iter().zip(COLOURS).enumerate() {
            let (y, length) = (y + BAR * bar as f64, micros / most * WIDTH);
            writeln!(
                text,
                "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                BAR - 1.0
            )?;
            let (x, y) = (LEFT + length + 5.0, y + BAR - 3.0);
            writeln!(text, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"10\">{micros:.1}</text>")?;
        }
    }
    writeln!(text, "</svg>")?;
    Ok(text)
}
