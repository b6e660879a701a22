//! Plots as SVG, in colours that the page decides on.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::Report;

/// Colours that stand for the page's own.
const INK: RGBColor = RGBColor(1, 1, 1);
const FAINT: RGBColor = RGBColor(2, 2, 2);
const ACCENT: RGBColor = RGBColor(3, 3, 3);
/// Pixels of a plot's width, that of a phone.
const WIDTH: u32 = 440;
/// Pixels of a row.
const ROW: u32 = 34;
const NAMES: u32 = 140;
const TEXT: u32 = 15;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Rates with their intervals, a row a policy.
pub(super) fn rates(report: &Report) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let rows: Vec<_> = report
        .policies
        .iter()
        .map(|policy| Row {
            name: policy.name.clone(),
            value: policy.rate,
            from_to: policy.interval.map(|interval| [interval.low, interval.high]),
            hollow: policy.attempted.map(|rate| rate.value),
        })
        .collect();
    forest(&rows, 0.0..1.0, "success rate")
}

/// Drops under variations, a row a variation and policy.
pub(super) fn drops(report: &Report) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let rows: Vec<_> = report
        .variations
        .iter()
        .map(|row| Row {
            name: format!("{} · {}", row.variation, row.policy),
            value: row.rate.map(|rate| rate.value),
            from_to: row.rate.map(|rate| [rate.interval.low, rate.interval.high]),
            hollow: row.plain.map(|rate| rate.value),
        })
        .collect();
    forest(&rows, 0.0..1.0, "success rate; hollow: plain starts")
}

struct Row {
    name: String,
    value: Option<f64>,
    from_to: Option<[f64; 2]>,
    hollow: Option<f64>,
}

fn forest(
    rows: &[Row],
    range: std::ops::Range<f64>,
    label: &str,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let height = ROW * rows.len().max(1) as u32 + 50;
    draw(height, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(16)
            .set_label_area_size(LabelAreaPosition::Left, NAMES)
            .set_label_area_size(LabelAreaPosition::Bottom, 36)
            .build_cartesian_2d(range, rows.len() as f64 - 0.5..-0.5)?;
        mesh(&mut chart, label, "", false)?;
        for (place, row) in rows.iter().enumerate() {
            let y = place as f64;
            if let Some([low, high]) = row.from_to {
                let line = PathElement::new([(low, y), (high, y)], INK.stroke_width(2));
                chart.draw_series([line])?;
                for end in [low, high] {
                    let tick = [(end, y - 0.12), (end, y + 0.12)];
                    chart.draw_series([PathElement::new(tick, INK.stroke_width(2))])?;
                }
            }
            if let Some(value) = row.hollow {
                chart.draw_series([Circle::new((value, y), 7, INK.stroke_width(1))])?;
            }
            if let Some(value) = row.value {
                chart.draw_series([Circle::new((value, y), 4, ACCENT.filled())])?;
            }
            let (left, middle) = chart.backend_coord(&(0.0, y));
            let style = text(TEXT, Pos::new(HPos::Right, VPos::Center));
            let name: String = row.name.chars().take(18).collect();
            area.draw(&Text::new(name, (left - 14, middle), style))?;
        }
        Ok(())
    })
}

/// Real against imagined rates, a mark a policy.
pub(super) fn scatter(report: &Report) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    draw(WIDTH, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(16)
            .set_label_area_size(LabelAreaPosition::Left, 52)
            .set_label_area_size(LabelAreaPosition::Bottom, 36)
            .build_cartesian_2d(-0.04..1.04, -0.04..1.04)?;
        mesh(&mut chart, "real success rate", "imagined success rate", true)?;
        let diagonal = PathElement::new([(0.0, 0.0), (1.0, 1.0)], FAINT.stroke_width(2));
        chart.draw_series([diagonal])?;
        for (place, point) in report.points.iter().enumerate() {
            let at = (point.real, point.imagined);
            chart.draw_series([Circle::new(at, 5, ACCENT.filled())])?;
            let (x, y) = chart.backend_coord(&at);
            let right = point.real > 0.6;
            let (side, anchor) = if right { (-9, HPos::Right) } else { (9, HPos::Left) };
            // Neighbours' names step aside for one another.
            let down = if place % 2 == 0 { -7 } else { 7 };
            let style = text(TEXT - 1, Pos::new(anchor, VPos::Center));
            area.draw(&Text::new(point.policy.clone(), (x + side, y + down), style))?;
        }
        Ok(())
    })
}

fn mesh(chart: &mut Chart<'_, '_>, x: &str, y: &str, y_labels: bool) -> Drawn {
    let style = text(TEXT - 1, Pos::new(HPos::Center, VPos::Center));
    let percent = |value: &f64| format!("{:.0} %", 100.0 * value);
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(6)
        .y_labels(if y_labels { 6 } else { 0 })
        .x_label_formatter(&percent)
        .y_label_formatter(&percent)
        .x_desc(x)
        .y_desc(y)
        .axis_style(FAINT.stroke_width(1))
        .bold_line_style(FAINT.stroke_width(1))
        .light_line_style(TRANSPARENT)
        .label_style(("sans-serif", TEXT - 1).into_font().color(&INK))
        .axis_desc_style(style);
    if !y_labels {
        mesh.disable_y_mesh().disable_y_axis();
    }
    mesh.draw()?;
    Ok(())
}

fn text(size: u32, anchor: Pos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&INK).pos(anchor)
}

fn draw(
    height: u32,
    paint: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        paint(&area)?;
        area.present()?;
    }
    Ok(svg
        .replace("#010101", "currentColor")
        .replace("#020202", "var(--line)")
        .replace("#030303", "var(--accent)")
        .replacen(&format!("width=\"{WIDTH}\" height=\"{height}\""), "role=\"img\"", 1))
}
