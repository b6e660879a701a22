//! Requests to a judge and its replies, as bytes, where they differ from those to a policy.

use std::borrow::Borrow;

use rehearse_scenarios::embodiment::Embodiment;
use rehearse_scenarios::interface::{Opinion, PerTrial, TrialHandle, Watch};
use rehearse_scenarios::outcome::FaultKind;

use super::encode::Encoder;
use super::error::WireError;
use super::image::ImageForm;
use super::limits::Limits;
use super::observation::{check_text, observation_size, write_observation};
use super::policy::{ServerInfo, read_server};
use super::reply::read_results;
use super::value::{Fields, Value};

/// What a judge states about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgeInfo {
    /// Name, as in keys.
    pub name: String,
    /// The cameras that it looks through; all that there are if empty.
    pub cameras: Vec<String>,
    /// Most trials that it takes in one request.
    pub max_batch: usize,
    /// A digest of its weights and words, where it states one.
    pub digest: Option<String>,
}

/// Reads the reply to `info`.
///
/// # Errors
/// [`WireError`] with the first field that is missing or wrong.
pub fn decode_info(bytes: &[u8], limits: &Limits) -> Result<(JudgeInfo, ServerInfo), WireError> {
    let value = Value::decode(bytes, limits)?;
    let fields = value.fields("info")?;
    let (name, max_batch, server) = read_server(fields)?;
    let cameras = fields.required("cameras")?.items("cameras")?;
    let cameras = cameras
        .iter()
        .map(|camera| camera.text("cameras").map(ToOwned::to_owned))
        .collect::<Result<_, _>>()?;
    let digest = match fields.get("digest") {
        Some(digest) => Some(digest.text("digest")?.to_owned()),
        None => None,
    };
    Ok((JudgeInfo { name, cameras, max_batch, digest }, server))
}

/// Writes a `begin` request for trials that are judged by so many votes; `rig` states what is
/// shown of them.
///
/// # Errors
/// [`WireError`] with the first field that does not fit.
pub fn encode_begin<W: Borrow<Watch>>(
    trials: &[W],
    votes: u32,
    rig: &Embodiment,
    form: ImageForm,
) -> Result<Vec<u8>, WireError> {
    let bytes = trials.iter().map(|watch| observation_size(&watch.borrow().observation, rig)).sum();
    let mut out = Encoder::with_capacity(bytes);
    out.map(1);
    out.str("trials");
    out.array(trials.len());
    for watch in trials {
        let Watch { trial, instruction, observation, seed } = watch.borrow();
        check_text("instruction", instruction)?;
        out.map(5);
        out.str("trial");
        out.uint(trial.0);
        out.str("instruction");
        out.str(instruction);
        out.str("observation");
        write_observation(&mut out, observation, rig, form)?;
        out.str("votes");
        out.uint(u64::from(votes));
        out.str("seed");
        out.bin(&seed.to_bytes());
    }
    Ok(out.into_bytes())
}

/// Reads the reply to `judge`, of `votes` votes each: the belief is their mean, so that more than
/// half says that most of them do, and the reason is that of the first on the larger side.
///
/// What is no such list of votes becomes that trial's fault [`FaultKind::JudgeBroke`].
///
/// # Errors
/// [`WireError`] if it cannot be told which trial an item speaks of.
pub fn decode_judge_reply(
    bytes: &[u8],
    votes: u32,
    limits: &Limits,
) -> Result<Vec<(TrialHandle, PerTrial<Opinion>)>, WireError> {
    read_results(bytes, limits, FaultKind::JudgeBroke, |fields| {
        let cast = fields.required("votes")?.items("votes")?;
        if cast.len() != votes as usize {
            let (expected, got) = (format!("{votes} votes"), format!("{} votes", cast.len()));
            return Err(WireError::field("votes", expected, got));
        }
        let cast = cast.iter().map(|vote| vote_from(vote.fields("votes[]")?));
        Ok(opinion(&cast.collect::<Result<Vec<_>, _>>()?))
    })
}

/// One vote: a belief, and why.
type Vote = (f32, Option<String>);

fn vote_from(fields: Fields<'_, '_>) -> Result<Vote, WireError> {
    let belief = match fields.get("done") {
        None => 0.5,
        Some(done) => done.number("votes[].done")?,
    };
    if !(0.0..=1.0).contains(&belief) {
        return Err(WireError::field("votes[].done", "in [0, 1]", belief.to_string()));
    }
    let reason = match fields.get("reason") {
        None => None,
        Some(reason) => {
            let reason = reason.text("votes[].reason")?;
            check_text("votes[].reason", reason)?;
            Some(reason.to_owned())
        }
    };
    Ok((belief as f32, reason))
}

fn opinion(votes: &[Vote]) -> Opinion {
    let belief = votes.iter().map(|(belief, _)| belief).sum::<f32>() / votes.len().max(1) as f32;
    let side = |belief: f32| belief.partial_cmp(&0.5);
    let agreeing =
        votes.iter().find(|(own, reason)| side(*own) == side(belief) && reason.is_some());
    Opinion { belief, reason: agreeing.and_then(|(_, reason)| reason.clone()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(votes: &[(Option<f64>, &str)]) -> PerTrial<Opinion> {
        let mut out = Encoder::default();
        out.map(1);
        out.str("trials");
        out.array(1);
        out.map(2);
        out.str("trial");
        out.uint(7);
        out.str("votes");
        out.array(votes.len());
        for (done, reason) in votes {
            out.map(1 + usize::from(done.is_some()));
            if let Some(done) = done {
                out.str("done");
                out.f64(*done);
            }
            out.str("reason");
            out.str(reason);
        }
        let mut read = decode_judge_reply(&out.into_bytes(), 3, &Limits::default()).unwrap();
        assert_eq!(read[0].0, TrialHandle(7));
        read.remove(0).1
    }

    #[test]
    fn most_votes_decide_and_give_the_reason() {
        let (yes, no, unsure) = (Some(1.0), Some(0.0), None);
        let said = reply(&[(no, "closed"), (yes, "open"), (yes, "ajar")]).unwrap();
        assert!((said.belief - 2.0 / 3.0).abs() < 1e-6, "{said:?}");
        assert_eq!(said.reason.as_deref(), Some("open"));
        let torn = reply(&[(no, "closed"), (unsure, "dark"), (yes, "open")]).unwrap();
        assert_eq!((torn.belief, torn.reason.as_deref()), (0.5, Some("dark")));
        assert_eq!(reply(&[(no, "a"), (no, "b"), (unsure, "c")]).unwrap().belief, 0.5 / 3.0);
    }

    #[test]
    fn what_is_no_vote_is_a_fault_of_the_judge() {
        for votes in [
            &[(Some(f64::NAN), ""), (None, ""), (None, "")][..],
            &[(Some(1.5), ""), (None, ""), (None, "")],
            &[(Some(-0.1), ""), (None, ""), (None, "")],
            &[(Some(1.0), "")],
        ] {
            assert_eq!(reply(votes).unwrap_err().kind, FaultKind::JudgeBroke, "{votes:?}");
        }
    }
}
