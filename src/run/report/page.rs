//! The report as files: `report.json`, and `report.html` that needs no other file.

use std::path::Path;

use minijinja::{Environment, Value, context};

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
    let strips = film::strips(folder, report)?;
    let context = context! {
        report => Value::from_serialize(report),
        strips => Value::from_serialize(&strips),
        rates => plot(true, plots::rates)?,
        scatter => plot(!report.points.is_empty(), plots::scatter)?,
        drops => plot(!report.variations.is_empty(), plots::drops)?,
    };
    let mut pages = Environment::new();
    pages.add_filter("percent", |share: Option<f64>| {
        share.map_or_else(|| "–".to_owned(), |share| format!("{:.1} %", 100.0 * share))
    });
    pages.add_filter("digits", |value: Option<f64>| {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
    });
    let html = pages
        .add_template("report.html", TEMPLATE)
        .and_then(|()| pages.get_template("report.html"))
        .and_then(|page| page.render(context))
        .map_err(|error| failed("page")(error.into()))?;
    write_whole(&folder.join("report.html"), html.as_bytes())
}
