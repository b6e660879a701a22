//! Tables as Markdown.

use super::table::{ColumnKind, Table};

/// A heading, a table, the notes as a list and the warnings as quotes.
pub(super) fn write(table: &Table) -> String {
    let mut text = format!("### {}\n\n", escaped(table.title()));
    let labels = table.columns().iter().map(|column| escaped(&column.label));
    push_row(&mut text, labels);
    let rules = table.columns().iter().map(|column| {
        let rule = match column.kind {
            ColumnKind::Text => "---",
            ColumnKind::Number | ColumnKind::Interval => "---:",
        };
        rule.to_owned()
    });
    push_row(&mut text, rules);
    for row in table.rows() {
        push_row(&mut text, row.iter().map(|value| escaped(&value.shown())));
    }
    let notes = table.notes();
    if !notes.is_empty() {
        text.push('\n');
    }
    for note in notes {
        text.extend(["- ", &escaped(&note), "\n"]);
    }
    for warning in table.warnings() {
        let (code, message) = (escaped(warning.code), escaped(&warning.message));
        text.extend(["\n> **warning** (", &code, "): ", &message, "\n"]);
    }
    text
}

fn push_row(text: &mut String, cells: impl Iterator<Item = String>) {
    text.push('|');
    for cell in cells {
        text.extend([" ", &cell, " |"]);
    }
    text.push('\n');
}

/// Text that stays within its cell and means nothing to Markdown.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '<' | '>' => {
                safe.push('\\');
                safe.push(character);
            }
            control if control.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}
