//! Rollouts of a run: what was imagined, beside the real episode of the same start.

use std::collections::BTreeMap;

use rehearse_scenarios::log::{Column, RobotLog};
use rerun::blueprint::components::PanelState;
use rerun::blueprint::{
    Blueprint, BlueprintPanel, ContainerLike, Horizontal, SelectionPanel, Spatial2DView, Tabs,
    TextDocumentView, TimePanel, TimeSeriesView, Vertical,
};
use rerun::{EncodedImage, RecordingStream, Scalars, SeriesLines, TextDocument};

use super::episode::{compress, name_lines, row};
use super::{Destination, VizError};
use crate::run::trust::Outside;
use crate::run::{BELIEF, Entry, Rollouts};

/// Sends rollouts as one recording, grouped by policy and outcome.
///
/// Entities of each trial, under `<policy>/<outcome>/<scenario>.<repeat>`: `imagined/<camera>`,
/// `real/<camera>` where the log's episode of the start is at hand, `state`, `action`, `success`
/// (the world's belief), `chunk` (control steps of the world's chunk), `expert` and `about`.
///
/// # Errors
/// [`VizError`] if an episode cannot be read or the recording cannot be written.
pub fn send_rollouts(
    rollouts: &Rollouts,
    trials: &[&Entry],
    destination: &Destination,
) -> Result<(), VizError> {
    let stream = destination.open(&rollouts.manifest.suite.name, layout(rollouts, trials))?;
    for entry in trials {
        send(&stream, rollouts, entry)?;
    }
    stream.flush_blocking()?;
    Ok(())
}

pub(super) fn place(entry: &Entry) -> String {
    format!("{}/{}/{}.{}", entry.policy, entry.outcome, entry.scenario, entry.repeat)
}

fn real<'a>(rollouts: &'a Rollouts, entry: &Entry) -> Option<(&'a RobotLog, usize)> {
    Some((rollouts.log.as_ref()?, entry.start?))
}

fn send(stream: &RecordingStream, rollouts: &Rollouts, entry: &Entry) -> Result<(), VizError> {
    let Some(&episode) = rollouts.episodes.get(&entry.trial) else { return Ok(()) };
    let (log, at) = (&rollouts.dataset, place(entry));
    let (rig, table) = (log.embodiment(), log.table(episode)?);
    let about = about(rollouts, entry);
    stream.log_static(format!("{at}/about"), &TextDocument::from_markdown(about))?;
    name_lines(stream, &format!("{at}/state"), &rig.proprioception)?;
    name_lines(stream, &format!("{at}/action"), &rig.actions)?;
    let belief = SeriesLines::new().with_names(["belief"]);
    stream.log_static(format!("{at}/success"), &belief)?;
    let belief = match table.columns.get(BELIEF) {
        Some(Column::Float(belief)) => Some(belief),
        _ => None,
    };
    let mut chunks =
        entry.chunks.iter().flat_map(|chunk| std::iter::repeat_n(chunk, chunk.0 as usize));
    for step in 0..table.frames() {
        stream.set_time_sequence("step", step as i64);
        stream.log(format!("{at}/state"), &row(&table.state, step))?;
        stream.log(format!("{at}/action"), &row(&table.action, step))?;
        if let Some(belief) = belief.and_then(|belief| belief.get((step, 0)))
            && belief.is_finite()
        {
            stream.log(format!("{at}/success"), &Scalars::single(*belief))?;
        }
        if let Some((steps, expert)) = chunks.next() {
            stream.log(format!("{at}/chunk"), &Scalars::single(f64::from(*steps)))?;
            if let Some(expert) = expert {
                stream.log(format!("{at}/expert"), &Scalars::single(f64::from(*expert)))?;
            }
        }
    }
    send_images(stream, log, episode, table.frames(), &format!("{at}/imagined"))?;
    if let Some((log, episode)) = real(rollouts, entry) {
        let frames = log.episode(episode)?.length.min(table.frames());
        send_images(stream, log, episode, frames, &format!("{at}/real"))?;
    }
    Ok(())
}

/// What is known of a trial beside its pictures.
fn about(rollouts: &Rollouts, entry: &Entry) -> String {
    let mut facts = vec![
        ("policy", entry.policy.clone()),
        ("task", entry.task.clone()),
        ("outcome", entry.outcome.clone()),
        ("steps", entry.length.to_string()),
    ];
    if let Some(reason) = &entry.reason {
        facts.push(("void because", reason.clone()));
    }
    if let Some(remark) = &entry.remark {
        facts.push(("judge", remark.replace(['|', '\n'], " ")));
    }
    if let Some(progress) = entry.progress {
        facts.push(("progress", format!("{:.0} %", 100.0 * progress)));
        facts.push(("reached", entry.reached.join(", ")));
    }
    if let Some(peak) = entry.peak {
        facts.push(("highest belief", format!("{:.1} %", 100.0 * peak)));
    }
    if let Some(evidence) = &entry.evidence {
        let again = rollouts.draws.get(&entry.trial);
        let bounds = &rollouts.manifest.suite.trust;
        let outside: Vec<&str> = evidence
            .outside(bounds, &entry.outcome, again)
            .into_iter()
            .map(Outside::as_str)
            .collect();
        let trusted = if outside.is_empty() { "yes".to_owned() } else { outside.join(", ") };
        let label = if outside.is_empty() { "trusted" } else { "not trusted for" };
        facts.push((label, trusted));
        if let Some(error) = evidence.expected_error {
            facts.push(("expected error", format!("{:.1} cm", 100.0 * error)));
        }
        if let Some(again) = again {
            facts.push(("with other noise", again.outcome.clone()));
        }
    }
    let rows: String = facts.iter().map(|(what, is)| format!("| {what} | {is} |\n")).collect();
    format!("{}\n\n| | |\n|---|---|\n{rows}", entry.trial)
}

fn send_images(
    stream: &RecordingStream,
    log: &RobotLog,
    episode: usize,
    frames: usize,
    at: &str,
) -> Result<(), VizError> {
    for camera in &log.embodiment().cameras {
        for (step, image) in log.frames(episode, &camera.name, 0..frames)?.enumerate() {
            stream.set_time_sequence("step", step as i64);
            let jpeg = compress(&image?)
                .map_err(|source| VizError::Compress { camera: camera.name.clone(), source })?;
            let encoded = EncodedImage::from_file_contents(jpeg).with_media_type("image/jpeg");
            stream.log(format!("{at}/{}", camera.name), &encoded)?;
        }
    }
    Ok(())
}

/// Tabs of policies, in them tabs of outcomes, in them tabs of trials.
fn layout(rollouts: &Rollouts, trials: &[&Entry]) -> Blueprint {
    let mut groups: BTreeMap<&str, BTreeMap<&str, Vec<ContainerLike>>> = BTreeMap::new();
    for entry in trials {
        let group = groups.entry(&entry.policy).or_default().entry(&entry.outcome).or_default();
        group.push(trial(rollouts, entry).into());
    }
    let policies = groups.into_iter().map(|(policy, outcomes)| {
        let outcomes = outcomes
            .into_iter()
            .map(|(outcome, trials)| Tabs::new(trials).with_name(outcome).into())
            .collect::<Vec<ContainerLike>>();
        ContainerLike::from(Tabs::new(outcomes).with_name(policy))
    });
    // The tabs say what the panels would: there is more room for the pictures.
    Blueprint::new(Tabs::new(policies.collect::<Vec<_>>()))
        .with_blueprint_panel(BlueprintPanel::from_state(PanelState::Collapsed))
        .with_selection_panel(SelectionPanel::from_state(PanelState::Collapsed))
        .with_time_panel(TimePanel::new().with_state(PanelState::Collapsed).with_timeline("step"))
}

fn trial(rollouts: &Rollouts, entry: &Entry) -> Vertical {
    let at = place(entry);
    let views = |log: &RobotLog, what: &str| -> Vec<ContainerLike> {
        let cameras = log.embodiment().cameras.iter();
        cameras
            .map(|camera| {
                Spatial2DView::new(format!("{what} {}", camera.name))
                    .with_origin(format!("{at}/{what}/{}", camera.name))
                    .into()
            })
            .collect()
    };
    let mut images = views(&rollouts.dataset, "imagined");
    if let Some((log, _)) = real(rollouts, entry) {
        images.extend(views(log, "real"));
    }
    images.push(TextDocumentView::new("about").with_origin(format!("{at}/about")).into());
    let numbers = |name: &str, entities: &[&str]| -> ContainerLike {
        let contents = entities.iter().map(|entity| format!("$origin/{entity}"));
        TimeSeriesView::new(name).with_origin(&*at).with_contents(contents).into()
    };
    let rows: [ContainerLike; 3] = [
        Horizontal::new(images).into(),
        Horizontal::new([
            numbers("belief that the task is done", &["success"]),
            numbers("state", &["state"]),
        ])
        .into(),
        Horizontal::new([
            numbers("steps and expert of the world's chunk", &["chunk", "expert"]),
            numbers("action", &["action"]),
        ])
        .into(),
    ];
    Vertical::new(rows)
        .with_name(format!("{}.{}", entry.scenario, entry.repeat))
        .with_row_shares(vec![3.0, 2.0, 2.0])
}
