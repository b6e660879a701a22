//! Tables as aligned text.

use super::table::{ColumnKind, Table};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";

/// Title, header, rows, notes and warnings; two spaces between columns.
pub(super) fn write(table: &Table, colour: bool) -> String {
    let paint = |style: &str, text: &str| {
        if colour { format!("{style}{text}{RESET}") } else { text.to_owned() }
    };
    let header: Vec<String> = table.columns().iter().map(|c| visible(&c.label)).collect();
    let rows: Vec<Vec<String>> = table
        .rows()
        .iter()
        .map(|row| row.iter().map(|value| visible(&value.shown())).collect())
        .collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|place| {
            let cells = rows.iter().map(|row| width(&row[place]));
            cells.chain([width(&header[place])]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &[String]| {
        let mut text = String::new();
        for ((cell, &full), column) in cells.iter().zip(&widths).zip(table.columns()) {
            if !text.is_empty() {
                text.push_str("  ");
            }
            let gap = " ".repeat(full - width(cell));
            match column.kind {
                ColumnKind::Text => text.extend([cell.as_str(), &gap]),
                ColumnKind::Number | ColumnKind::Interval => text.extend([&gap, cell.as_str()]),
            }
        }
        text.trim_end().to_owned()
    };
    let mut text = paint(BOLD, &visible(table.title())) + "\n";
    text += &(paint(DIM, &line(&header)) + "\n");
    for row in &rows {
        text += &(line(row) + "\n");
    }
    for note in table.notes() {
        text += &(paint(DIM, &visible(&note)) + "\n");
    }
    for warning in table.warnings() {
        text += &(paint(YELLOW, "warning:") + " " + &visible(&warning.message) + "\n");
    }
    text
}

fn width(text: &str) -> usize {
    text.chars().count()
}

/// The text without control characters: a policy's name must not steer the terminal.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
