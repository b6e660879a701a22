//! A trial's evidence of its own fidelity.

use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::suite::TrustEntry;
use rehearse_world_model::fidelity::{Fidelity, FidelityRow};
use rehearse_world_model::partition::BASE_CHUNK;
use serde::{Deserialize, Serialize};

use super::Again;
use super::region::Region;

/// Depths that errors are stated at: name, and the first depth that is deeper.
const DEPTHS: [(&str, usize); 5] =
    [("8-16", 16), ("16-32", 32), ("32-64", 64), ("64-72", 72), ("32-end", usize::MAX)];

/// What speaks for and against a rollout in a learned world. What is not known is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The model's error of the hand's place at the trial's depth and chunk length, open loop, in
    /// the median over test episodes, in metres.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_error: Option<f32>,
    /// Its pictures' fidelity there, in decibels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_psnr: Option<f32>,
    /// Distance of the start from the nearest training start; 1 is the edge of the training data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_distance: Option<f32>,
    /// Distance of the actions, each in the pose that it was taken in, from the nearest ones of
    /// the training data, in the mean; 1 is the edge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_distance: Option<f32>,
}

/// Why a trial is outside the trusted region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// It starts farther from the training starts than these from each other.
    Start,
    /// Its actions are farther from the training data than these from each other.
    Actions,
    /// The model's error at its depth is above the suite's bound.
    Depth,
    /// It ended otherwise under other noise.
    Noise,
}

impl Outside {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Actions => "actions",
            Self::Depth => "depth",
            Self::Noise => "noise",
        }
    }
}

/// The errors of a model by depth and chunk length.
#[derive(Clone, Debug, Default)]
pub(super) struct Depths(Vec<FidelityRow>);

impl Depths {
    /// Those of a checkpoint's record; none if it has no record, or one of another form.
    pub(super) fn of(fidelity: Option<&serde_json::Value>) -> Self {
        let fidelity: Option<Fidelity> =
            fidelity.and_then(|value| serde_json::from_value(value.clone()).ok());
        Self(fidelity.map(|fidelity| fidelity.rows).unwrap_or_default())
    }

    /// The row of a trial that came `steps` deep, its last chunk made by `expert`.
    fn row(&self, steps: usize, expert: Option<u32>) -> Option<&FidelityRow> {
        let model = expert.map_or_else(
            || "mixture".to_owned(),
            |expert| format!("fixed-{}", (expert as usize + 1) * BASE_CHUNK),
        );
        let (depth, _) = DEPTHS.iter().find(|(_, end)| steps <= *end)?;
        self.0.iter().find(|row| row.model == model && row.depth == *depth && row.frames > 0)
    }
}

impl Evidence {
    /// The evidence of an episode.
    pub(super) fn of(episode: &Episode, depths: &Depths, region: Option<&Region>) -> Self {
        let expert = episode.segments.last().and_then(|segment| segment.expert);
        let row = depths.row(episode.len(), expert);
        let start = episode.observations.first();
        Self {
            expected_error: row.and_then(|row| row.state_median).map(|error| error as f32),
            expected_psnr: row.and_then(|row| row.psnr).map(|psnr| psnr as f32),
            start_distance: region.zip(start).and_then(|(r, start)| r.start_distance(start)),
            action_distance: region.and_then(|region| region.action_distance(episode)),
        }
    }

    /// Why the trial is outside the trusted region, if it is; `again` is what became of it under
    /// other noise, and `outcome` what without.
    pub fn outside(
        &self,
        bounds: &TrustEntry,
        outcome: &str,
        again: Option<&Again>,
    ) -> Vec<Outside> {
        let beyond = |value: Option<f32>, edge: f32| value.is_some_and(|value| value > edge);
        let mut outside = vec![];
        if beyond(self.start_distance, 1.0) {
            outside.push(Outside::Start);
        }
        if beyond(self.action_distance, 1.0) {
            outside.push(Outside::Actions);
        }
        if bounds.error.is_some_and(|bound| beyond(self.expected_error, bound)) {
            outside.push(Outside::Depth);
        }
        if again.is_some_and(|again| again.outcome != outcome) {
            outside.push(Outside::Noise);
        }
        outside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(model: &str, depth: &str, error: f64) -> FidelityRow {
        FidelityRow {
            model: model.into(),
            depth: depth.into(),
            frames: 1,
            psnr: Some(20.0),
            ssim: None,
            state_rmse: None,
            state_median: Some(error),
            state_p95: None,
            lpips: None,
            fvd: None,
        }
    }

    #[test]
    fn errors_are_those_of_the_trials_depth_and_chunk_length() {
        let rows = vec![
            row("mixture", "8-16", 0.1),
            row("fixed-16", "8-16", 0.2),
            row("fixed-16", "32-end", 0.3),
        ];
        let depths = Depths(rows);
        let error = |steps, expert| depths.row(steps, expert).and_then(|row| row.state_median);
        assert_eq!(error(4, None), Some(0.1));
        assert_eq!(error(16, Some(1)), Some(0.2));
        assert_eq!(error(73, Some(1)), Some(0.3));
        assert_eq!(error(17, Some(1)), None);
        assert_eq!(error(8, Some(0)), None);
    }

    #[test]
    fn a_trial_is_outside_for_every_reason_there_is() {
        let bounds = TrustEntry { error: Some(0.05), ..TrustEntry::default() };
        let evidence = Evidence {
            expected_error: Some(0.06),
            expected_psnr: None,
            start_distance: Some(1.1),
            action_distance: Some(0.9),
        };
        let again =
            Again { trial: "t".into(), outcome: "failure".into(), distance: 0.0, psnr: 0.0 };
        assert_eq!(
            evidence.outside(&bounds, "success", Some(&again)),
            [Outside::Start, Outside::Depth, Outside::Noise]
        );
        assert_eq!(evidence.outside(&bounds, "failure", Some(&again)).len(), 2);
        assert!(Evidence::default().outside(&bounds, "success", None).is_empty());
    }
}
