//! Progress with a rate and an ETA on a terminal, plain lines off it.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Seconds between plain lines.
const LINE_PERIOD: Duration = Duration::from_secs(10);

/// Progress over a known number of things.
#[derive(Debug)]
pub struct Progress {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Hidden,
    Bar(ProgressBar),
    Lines { total: u64, done: u64, unit: &'static str, start: Instant, last: Instant },
}

impl Progress {
    pub(super) fn new(total: u64, unit: &'static str, shown: bool, terminal: bool) -> Self {
        let kind = match (shown, terminal) {
            (false, _) => Kind::Hidden,
            (true, true) => {
                let template = format!(
                    "{{bar:30}} {{human_pos}}/{{human_len}} {unit}, {{per_sec}}, {{eta}} left {{msg}}"
                );
                let style = ProgressStyle::with_template(&template)
                    .unwrap_or_else(|_template| ProgressStyle::default_bar());
                Kind::Bar(ProgressBar::new(total).with_style(style))
            }
            (true, false) => {
                let now = Instant::now();
                Kind::Lines { total, done: 0, unit, start: now, last: now }
            }
        };
        Self { kind }
    }

    /// Counts `amount` more things as done.
    pub fn advance(&mut self, amount: u64) {
        match &mut self.kind {
            Kind::Hidden => {}
            Kind::Bar(bar) => bar.inc(amount),
            Kind::Lines { total, done, unit, start, last } => {
                *done += amount;
                if last.elapsed() >= LINE_PERIOD {
                    *last = Instant::now();
                    let rate = *done as f64 / start.elapsed().as_secs_f64();
                    let left = total.saturating_sub(*done) as f64 / rate.max(f64::MIN_POSITIVE);
                    eprintln!("{done}/{total} {unit}, {rate:.1}/s, {left:.0} s left");
                }
            }
        }
    }

    /// Ends the display.
    pub fn finish(self) {
        if let Kind::Bar(bar) = self.kind {
            bar.finish_and_clear();
        }
    }
}
