//! A run in the viewer while it goes on.

use std::collections::BTreeMap;

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::observation::Observation;
use rerun::blueprint::{
    Blueprint, ContainerLike, Horizontal, Spatial2DView, TextLogView, TimeSeriesView, Vertical,
};
use rerun::{EncodedImage, RecordingStream, Scalars, SeriesLines, TextLog, TextLogLevel};

use super::episode::compress;
use super::{Destination, VizError};
use crate::run::{Entry, Onlooker, Plan, Stepped};

/// Rollouts of each policy and outcome that are sent whole.
const WHOLE: usize = 2;

/// Sends a run to a viewer while it goes on.
///
/// Entities: `now/<policy>/<camera>` and `now/<policy>/belief`, what the policy's latest trial
/// shows; `rate/<policy>`, its successes so far, over the number of trials that have ended
/// (timeline `trials`); `log`, a line as each trial ends; and the first rollouts of each policy and
/// outcome whole, under `<policy>/<outcome>/<scenario>.<repeat>/imagined/<camera>` over `step`.
///
/// A viewer that goes away stops nothing: [`Live::error`] says so at the end.
#[derive(Debug)]
pub struct Live {
    destination: Destination,
    stream: Option<RecordingStream>,
    error: Option<VizError>,
    /// Trials that have ended.
    ended: i64,
    /// Successes and decided trials, by policy.
    rates: BTreeMap<String, (u64, u64)>,
    /// Rollouts that were sent whole, by policy and outcome.
    whole: BTreeMap<(String, String), usize>,
}

impl Live {
    /// What will send a run, when it starts.
    pub const fn open(destination: Destination) -> Self {
        Self {
            destination,
            stream: None,
            error: None,
            ended: 0,
            rates: BTreeMap::new(),
            whole: BTreeMap::new(),
        }
    }

    /// What kept the viewer from seeing all of the run, if anything did.
    pub fn error(self) -> Option<VizError> {
        let flushed = self.stream.map(|stream| stream.flush_blocking());
        self.error.or_else(|| flushed.and_then(Result::err).map(VizError::from))
    }

    /// Sends something; nothing more after a failure.
    fn send(&mut self, what: impl FnOnce(&mut Self, &RecordingStream) -> Result<(), VizError>) {
        let Some(stream) = self.stream.take() else { return };
        match what(self, &stream) {
            Ok(()) => self.stream = Some(stream),
            Err(error) => self.error = Some(error),
        }
    }

    fn start(&self, plan: &Plan, rig: &Embodiment) -> Result<RecordingStream, VizError> {
        let stream = self.destination.open(&plan.suite.name, layout(plan, rig))?;
        for policy in &plan.suite.policies {
            let lines = SeriesLines::new().with_names([policy.name.as_str()]);
            stream.log_static(format!("rate/{}", policy.name), &lines)?;
        }
        Ok(stream)
    }
}

impl Onlooker for Live {
    fn starts(&mut self, plan: &Plan, rig: &Embodiment, ended: usize) {
        self.ended = ended as i64;
        match self.start(plan, rig) {
            Ok(stream) => self.stream = Some(stream),
            Err(error) => self.error = Some(error),
        }
    }

    fn stepped(&mut self, step: &Stepped<'_>) {
        let Stepped { policy, observation, belief, .. } = *step;
        self.send(|live, stream| {
            stream.set_time_sequence("trials", live.ended);
            send_images(stream, &format!("now/{policy}"), observation)?;
            if let Some(belief) = belief {
                let belief = Scalars::single(f64::from(belief));
                stream.log(format!("now/{policy}/belief"), &belief)?;
            }
            Ok(())
        });
    }

    fn ended(&mut self, entry: &Entry, episode: &Episode) {
        self.ended += 1;
        self.send(|live, stream| {
            stream.set_time_sequence("trials", live.ended);
            let rate = live.rates.entry(entry.policy.clone()).or_default();
            if matches!(entry.outcome.as_str(), "success" | "failure") {
                rate.0 += u64::from(entry.outcome == "success");
                rate.1 += 1;
                let value = rate.0 as f64 / rate.1 as f64;
                stream.log(format!("rate/{}", entry.policy), &Scalars::single(value))?;
            }
            let reason = entry.reason.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            let text = format!("{} {}{reason}", entry.trial, entry.outcome);
            let level =
                if entry.outcome == "void" { TextLogLevel::WARN } else { TextLogLevel::INFO };
            stream.log("log", &TextLog::new(text).with_level(level))?;
            let group = (entry.policy.clone(), entry.outcome.clone());
            let sent = live.whole.entry(group).or_default();
            *sent += 1;
            if *sent > WHOLE {
                return Ok(());
            }
            let at = super::rollouts::place(entry);
            for (step, seen) in episode.observations.iter().enumerate() {
                stream.set_time_sequence("step", step as i64);
                send_images(stream, &format!("{at}/imagined"), seen)?;
            }
            stream.disable_timeline("step");
            Ok(())
        });
    }
}

fn send_images(stream: &RecordingStream, at: &str, seen: &Observation) -> Result<(), VizError> {
    for (camera, image) in &seen.images {
        let jpeg = compress(image)
            .map_err(|source| VizError::Compress { camera: camera.clone(), source })?;
        let encoded = EncodedImage::from_file_contents(jpeg).with_media_type("image/jpeg");
        stream.log(format!("{at}/{camera}"), &encoded)?;
    }
    Ok(())
}

/// What every policy sees now, above the rates so far and the trials that have ended.
fn layout(plan: &Plan, rig: &Embodiment) -> Blueprint {
    let columns = plan.suite.policies.iter().map(|policy| {
        let name = &policy.name;
        let cameras = rig.cameras.iter().map(|camera| {
            Spatial2DView::new(format!("{name}: {}", camera.name))
                .with_origin(format!("now/{name}/{}", camera.name))
                .into()
        });
        let belief = TimeSeriesView::new(format!("{name}: success believed"))
            .with_origin(format!("now/{name}/belief"));
        let views: Vec<ContainerLike> = cameras.chain([belief.into()]).collect();
        ContainerLike::from(Vertical::new(views))
    });
    let below = Horizontal::new([
        TimeSeriesView::new("success rate so far").with_origin("rate").into(),
        TextLogView::new("trials").with_origin("log").into(),
    ]);
    Blueprint::new(
        Vertical::new([
            Horizontal::new(columns.collect::<Vec<_>>()).into(),
            ContainerLike::from(below),
        ])
        .with_row_shares(vec![3.0, 2.0]),
    )
}
