//! A checkpoint that training goes on from.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use rehearse_scenarios::embodiment::Embodiment;

use crate::checkpoint::{check_rig, load_tensors};
use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::partition::MAX_BASE_CHUNKS;
use crate::train::config::TrainConfig;

/// The tensors that a training starts from, and the digest of their checkpoint. The base of the
/// experts is the mean of its experts, which were specialised from one base themselves. Tokens
/// must be the recipe's; any other part of another size starts anew.
pub(crate) fn read_init(
    path: &Path,
    config: &TrainConfig,
    rig: &Embodiment,
    device: &Device,
) -> Result<(BTreeMap<String, Tensor>, String)> {
    let (mut tensors, manifest) = load_tensors(path, device)?;
    check_rig(&manifest.embodiment, rig)?;
    let reason = "its [model.tokens] are not the recipe's: state the same, or train without it";
    if manifest.config.tokens != config.model.tokens {
        let reason = reason.to_owned();
        return Err(ModelError::Checkpoint { path: path.to_owned(), reason });
    }
    let ModelConfig { expert, state, router, judge, instruction, .. } = &config.model;
    let theirs = &manifest.config;
    let same_words = theirs.instruction == *instruction;
    for (part, kept) in [
        ("experts.", theirs.expert == *expert && same_words),
        ("state.", theirs.state == *state && same_words),
        ("router.", theirs.router == *router && same_words),
        ("judge.", theirs.judge == *judge && same_words),
        ("instruction.", same_words),
        ("t5.", same_words),
    ] {
        if !kept {
            tensors.retain(|name, _| !name.starts_with(part));
        }
    }
    let of_first = tensors
        .keys()
        .filter_map(|name| name.strip_prefix("experts.0.").map(str::to_owned))
        .collect::<Vec<_>>();
    for name in of_first {
        let experts = (0..MAX_BASE_CHUNKS)
            .filter_map(|index| tensors.remove(&format!("experts.{index}.{name}")))
            .collect::<Vec<_>>();
        tensors.insert(format!("experts.base.{name}"), Tensor::stack(&experts, 0)?.mean(0)?);
    }
    Ok((tensors, manifest.digest))
}
