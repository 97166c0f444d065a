//! What was measured, for people, programs and README.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::{Runs, Usage, median};

/// From this share of the processors on the machine counts as busy.
const BUSY: f64 = 0.1;

/// One case, ours beside a peer.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) case: &'static str,
    pub(super) peer: String,
    pub(super) goal: &'static str,
    /// What others took of the processors before it was measured.
    pub(super) busy: f64,
    columns: Vec<Column>,
}

/// One figure: ours, the peer's, and the median of the ratios of pairs.
#[derive(Debug)]
struct Column {
    name: &'static str,
    ours: f64,
    theirs: f64,
    ratio: f64,
}

impl Row {
    pub(super) fn new(
        case: (&'static str, &'static str),
        peer: &str,
        busy: f64,
        ours: &Runs,
        theirs: &Runs,
    ) -> Self {
        let pair = |name, a: Vec<f64>, b: Vec<f64>| {
            let ratios = a.iter().zip(&b).map(|(a, b)| a / b).collect();
            Column { name, ours: median(a), theirs: median(b), ratio: median(ratios) }
        };
        let of = |name, figure: fn(&Usage) -> f64| {
            let all = |runs: &Runs| runs.usage.iter().map(figure).collect();
            pair(name, all(ours), all(theirs))
        };
        let columns = vec![
            of("wall s", |usage| usage.wall),
            of("cpu s", |usage| usage.cpu),
            of("peak MiB", |usage| usage.memory),
            pair("requests", ours.requests.clone(), theirs.requests.clone()),
            pair("stored MB", ours.stored.clone(), theirs.stored.clone()),
            of("temporary MB", |usage| usage.temporary),
        ];
        let (case, goal) = case;
        Self { case, peer: peer.to_owned(), goal, busy, columns }
    }

    /// The names of the columns.
    pub(super) fn print_names() {
        println!(
            "{:<28} {:<12} {:>25} {:>25} {:>25} {:>22} {:>25} {:>22}",
            "case", "peer", "wall s", "cpu s", "peak MiB", "requests", "stored MB", "temporary MB"
        );
    }

    pub(super) fn print(&self) {
        let mut line = format!("{:<28} {:<12}", self.case, self.peer);
        for column in &self.columns {
            let Column { name, ours, theirs, ratio } = column;
            let (digits, width) = match *name {
                "requests" => (0, 22),
                "stored MB" => (1, 25),
                "temporary MB" => (1, 22),
                _ => (3, 25),
            };
            let text = if ratio.is_finite() {
                format!("{ours:.digits$} / {theirs:.digits$} = {ratio:.2}")
            } else {
                format!("{ours:.digits$} / {theirs:.digits$}")
            };
            write!(line, " {text:>width$}").ok();
        }
        write!(line, "  {}", self.goal).ok();
        if self.is_busy() {
            write!(line, "  [busy: {:.0} %]", self.busy * 100.0).ok();
        }
        println!("{line}");
    }

    /// Whether others had so much of the machine that times mean little.
    pub(super) fn is_busy(&self) -> bool {
        self.busy >= BUSY
    }

    /// The seconds of processor time, ours and the peer's.
    pub(super) fn cpu(&self) -> (f64, f64) {
        let column = self.columns.iter().find(|column| column.name == "cpu s");
        column.map_or((0.0, 0.0), |column| (column.ours, column.theirs))
    }

    fn to_json(&self) -> Value {
        let columns = self.columns.iter().map(|it| {
            let ratio = it.ratio.is_finite().then_some(it.ratio);
            let value = json!({"ours": it.ours, "peer": it.theirs, "ratio": ratio});
            (it.name.to_owned(), value)
        });
        let figures: serde_json::Map<String, Value> = columns.collect();
        json!({"case": self.case, "peer": self.peer, "goal": self.goal, "busy": self.busy,
            "figures": figures})
    }
}

/// Writes all rows for programs.
pub(super) fn write_json(path: &Path, rows: &[Row]) -> Result<()> {
    let rows: Vec<Value> = rows.iter().map(Row::to_json).collect();
    Ok(fs_err::write(path, serde_json::to_string_pretty(&rows)? + "\n")?)
}

/// Draws a bar a row: how long ours took where the peer took the whole width.
pub(super) fn write_plot(path: &Path, rows: &[Row]) -> Result<()> {
    Ok(fs_err::write(path, plot(rows))?)
}

fn plot(rows: &[Row]) -> String {
    const LINE: usize = 22;
    const LEFT: usize = 330;
    const WIDTH: f64 = 400.0;
    let bars: Vec<(String, f64)> = rows
        .iter()
        .filter_map(|row| {
            let wall = row.columns.first()?;
            Some((format!("{} / {}", row.case, row.peer), wall.ratio))
        })
        .filter(|(_, ratio)| ratio.is_finite())
        .collect();
    // What is slower than twice the peer is cut at the edge; its number says how much.
    let height = LINE * (bars.len() + 1);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n",
        LEFT + 2 * 400 + 60
    );
    let peer = LEFT as f64 + WIDTH;
    writeln!(
        svg,
        "<line x1=\"{peer}\" y1=\"0\" x2=\"{peer}\" y2=\"{height}\" stroke=\"#999\" \
         stroke-dasharray=\"4\"/>"
    )
    .ok();
    for (at, (name, ratio)) in bars.iter().enumerate() {
        let y = LINE * at + 4;
        let width = (ratio * WIDTH).min(2.0 * WIDTH);
        let colour = if *ratio <= 1.0 { "#3a7d44" } else { "#b5472f" };
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{name}</text>\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.0}\" height=\"{}\" fill=\"{colour}\"/>\
             <text x=\"{:.0}\" y=\"{}\">{ratio:.2}</text>",
            LEFT - 8,
            y + 13,
            LINE - 6,
            LEFT as f64 + width + 6.0,
            y + 13
        )
        .ok();
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(wall: &[f64]) -> Runs {
        let usage = |wall: &f64| Usage { wall: *wall, cpu: 1.0, memory: 2.0, temporary: 0.0 };
        Runs {
            usage: wall.iter().map(usage).collect(),
            requests: vec![3.0; wall.len()],
            stored: vec![0.0; wall.len()],
        }
    }

    #[test]
    fn rows_have_medians_of_pairs() {
        let (ours, theirs) = (runs(&[1.0, 2.0, 9.0]), runs(&[2.0, 4.0, 3.0]));
        let row = Row::new(("a & b", ""), "peer", 0.5, &ours, &theirs);
        assert!(row.is_busy());
        let json = row.to_json();
        assert_eq!(json["figures"]["wall s"], json!({"ours": 2.0, "peer": 3.0, "ratio": 0.5}));
        assert_eq!(json["figures"]["temporary MB"]["ratio"], Value::Null);
        assert_eq!(row.cpu(), (1.0, 1.0));
        let svg = plot(&[row]);
        assert!(svg.contains("a &amp; b / peer") && svg.contains("width=\"200\""), "{svg}");
    }
}
