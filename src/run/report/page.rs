//! The report as files: `report.json`, and `report.html` that needs no other file.

use std::collections::BTreeSet;
use std::path::Path;

use minijinja::{Environment, Value, context};
use rehearse_scoring::warning::Warning;
use serde::Serialize;

use super::super::RunError;
use super::super::folder::write_whole;
use super::{Report, film, plots};

/// The page, with a place for every part.
const TEMPLATE: &str = include_str!("report.html");

/// Writes `report.json` and `report.html` into the run directory.
///
/// # Errors
/// [`RunError::Report`] and [`RunError::File`].
pub fn write(folder: &Path, report: &Report) -> Result<(), RunError> {
    let failed = |what| move |source| RunError::Report { what, source };
    let json = serde_json::to_vec_pretty(report).map_err(|error| failed("JSON")(error.into()))?;
    write_whole(&folder.join("report.json"), &json)?;

    let svg =
        |drawn: Result<String, _>| drawn.map(Value::from_safe_string).map_err(failed("plots"));
    let plot = |wanted: bool, of: fn(&Report) -> Result<String, _>| {
        if wanted { svg(of(report)) } else { Ok(Value::from(())) }
    };
    let films = film::films(folder, report)?;
    let tasks: BTreeSet<&str> = report
        .policies
        .iter()
        .flat_map(|policy| policy.tasks.iter().map(|task| task.task.as_str()))
        .collect();
    let best = report.policies.first().map(|best| {
        context! { name => best.name, travel => best.failures.travel_in_success }
    });
    let context = context! {
        report => Value::from_serialize(report),
        films => Value::from_serialize(&films),
        tasks => Value::from_serialize(&tasks),
        warnings => Value::from_serialize(by_kind(&report.warnings)),
        best => best,
        rates => plot(true, plots::rates)?,
        scatter => plot(!report.points.is_empty(), plots::scatter)?,
        drops => plot(!report.variations.is_empty(), plots::drops)?,
    };
    let mut pages = Environment::new();
    pages.add_filter("percent", |share: Option<f64>| {
        share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
    });
    pages.add_filter("whole", |share: f64| format!("{:.0} %", 100.0 * share));
    pages.add_filter("short", |text: String| {
        let short = |word: &str| word.chars().take(12).collect::<String>();
        let words = text.split(' ').map(|w| if w.len() > 32 { short(w) } else { w.to_owned() });
        words.collect::<Vec<_>>().join(" ")
    });
    pages.add_filter("digits", |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
    });
    pages.add_filter("times", |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"))
    });
    pages.add_filter("centimetres", |metres: Option<f64>| {
        metres.map_or_else(|| "–".to_owned(), |metres| format!("{:.1} cm", 100.0 * metres))
    });
    let html = pages
        .add_template("report.html", TEMPLATE)
        .and_then(|()| pages.get_template("report.html"))
        .and_then(|page| page.render(context))
        .map_err(|error| failed("page")(error.into()))?;
    write_whole(&folder.join("report.html"), html.as_bytes())
}

/// Warnings of one kind.
#[derive(Debug, Serialize)]
struct Kind {
    code: &'static str,
    messages: Vec<String>,
}

/// Warnings by their kind, in the order in which kinds first occur.
fn by_kind(warnings: &[Warning]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = vec![];
    for warning in warnings {
        let message = warning.to_string();
        match kinds.iter_mut().find(|kind| kind.code == warning.code()) {
            Some(kind) => kind.messages.push(message),
            None => kinds.push(Kind { code: warning.code(), messages: vec![message] }),
        }
    }
    kinds
}
