//! What the state model makes of the logged episodes: what the later stages condition on.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Tensor;

use crate::error::Result;
use crate::model::WorldModel;
use crate::train::cache::{CacheWriter, TokenCache};
use crate::train::data::Dataset;
use crate::train::episode::LoggedEpisode;
use crate::train::state_stage::batch;

/// Name of the cache of foreseen pictures.
const FORESEEN: &str = "foreseen";
/// Episodes rolled out at once.
const EPISODES: usize = 64;

/// Logged episodes as the state model predicts them, open loop from their first frames.
pub(crate) struct Predicted {
    /// Proprioception, `frames × channels` by episode; the first is the true one.
    states: BTreeMap<usize, Vec<f32>>,
    /// Leading coefficients of every frame, of models that foresee.
    picture: Option<TokenCache>,
    /// Log odds of success per frame, of models that foresee; the first frame has none and
    /// repeats the second.
    success: BTreeMap<usize, Vec<f32>>,
}

impl Predicted {
    /// Predicts every episode of `data`; pictures go into a cache in `folder`.
    pub fn new(model: &WorldModel, data: &Dataset, folder: &Path) -> Result<Self> {
        let kept = model.config.state.forecast;
        let mut writer = (kept > 0)
            .then(|| TokenCache::create(folder, FORESEEN, "", model.tokenizer.patches(), kept))
            .transpose()?;
        let mut predicted =
            Self { states: BTreeMap::new(), picture: None, success: BTreeMap::new() };
        let episodes = data.train.iter().chain(&data.validation).collect::<Vec<_>>();
        for some in episodes.chunks(EPISODES) {
            predicted.add(model, data, some, writer.as_mut())?;
        }
        predicted.picture = writer.map(CacheWriter::finish).transpose()?;
        Ok(predicted)
    }

    fn add(
        &mut self,
        model: &WorldModel,
        data: &Dataset,
        some: &[&LoggedEpisode],
        mut writer: Option<&mut CacheWriter>,
    ) -> Result<()> {
        let channels = model.embodiment.proprioception.len();
        let entries = some.iter().map(|&episode| (episode, 0)).collect::<Vec<_>>();
        let batch = batch(model, data, &entries, usize::MAX)?;
        let words = some.iter().map(|e| e.instruction.as_str()).collect::<Vec<_>>();
        let memory = model.state.begin(&batch.start, &batch.first, &words)?;
        let rolled = model.state.roll(&memory, &batch.actions)?;
        let pictures = rolled.foreseen.as_ref().map(|f| f.picture(&batch.first)).transpose()?;
        for (row, episode) in some.iter().enumerate() {
            let of = |tensor: &Tensor| -> Result<Vec<f32>> {
                let steps = tensor.get(row)?.narrow(0, 0, episode.frames - 1)?;
                Ok(steps.flatten_all()?.detach().to_vec1()?)
            };
            let mut states = episode.states[..channels].to_vec();
            states.extend(of(&rolled.states)?);
            self.states.insert(episode.index, states);
            let (Some(foreseen), Some(pictures), Some(writer)) =
                (&rolled.foreseen, &pictures, &mut writer)
            else {
                continue;
            };
            let kept = foreseen.change.dim(3)?;
            let first = batch.first.narrow(0, row, 1)?.narrow(2, 0, kept)?;
            let mut picture = first.flatten_all()?.to_vec1::<f32>()?;
            picture.extend(of(pictures)?);
            writer.add(episode.index, &picture)?;
            let odds = of(&foreseen.success)?;
            self.success.insert(
                episode.index,
                odds.first().copied().into_iter().chain(odds.iter().copied()).collect(),
            );
        }
        Ok(())
    }

    /// Proprioception of an episode, `frames × channels`.
    pub fn states(&self, episode: usize) -> Option<&Vec<f32>> {
        self.states.get(&episode)
    }

    /// Pictures foreseen, of models that foresee.
    pub fn picture(&self) -> Option<&TokenCache> {
        self.picture.as_ref()
    }

    /// Log odds of success of an episode per frame, of models that foresee.
    pub fn success(&self, episode: usize) -> Option<&Vec<f32>> {
        self.success.get(&episode)
    }
}
