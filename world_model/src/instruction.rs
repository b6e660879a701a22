//! The instruction as a few vectors: a small encoder over what is read of it.
//!
//! Either letter groups are read, and a word is the mean of the table rows that they hash to (as in
//! fastText), so that a word that training never met still lands near its relatives; or a frozen
//! T5 reads the instruction, and the table is a projection of what it makes of each token.

use std::path::Path;
use std::sync::Arc;

use candle_core::{D, Device, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::config::{InstructionConfig, refuse};
use crate::error::Result;
use crate::nn::{Linear, linear, linear_zero, ops};
use crate::t5::{Features, T5Source};

/// Shortest and longest group of letters, with the word's borders counted as letters.
const GROUPS: std::ops::RangeInclusive<usize> = 3..=5;

/// What is read of an instruction, before anything is learnt of it.
#[derive(Clone, Debug)]
pub enum Reader {
    /// Letter groups, hashed into so many buckets.
    Letters {
        /// How many.
        buckets: usize,
    },
    /// What a T5 makes of it.
    T5(Arc<Features>),
}

/// Encodes instructions.
#[derive(Clone, Debug)]
pub struct InstructionEncoder {
    words: usize,
    reader: Reader,
    table: Tensor,
    position: Tensor,
    up: Linear,
    down: Linear,
}

impl Reader {
    /// The reader that a config names; the features that a T5 left are among the tensors of `vb`.
    ///
    /// # Errors
    /// [`ModelError::Config`](crate::ModelError::Config) for a T5 of which the folder alone is
    /// stated.
    pub fn new(config: &InstructionConfig, vb: &VarBuilder<'static>) -> Result<Self> {
        match &config.t5 {
            None => Ok(Self::Letters { buckets: config.buckets }),
            Some(T5Source::Known(t5)) => {
                Ok(Self::T5(Arc::new(Features::new(t5, config.words, vb))))
            }
            Some(T5Source::Folder(folder)) => Err(refuse(
                "instruction.t5",
                folder.display(),
                "outside of a recipe it must be known by digest and width",
            )),
        }
    }

    /// Width of a row.
    fn width(&self) -> usize {
        match self {
            Self::Letters { buckets } => *buckets,
            Self::T5(features) => features.width(),
        }
    }

    /// A row of length 1, or near it, for all words at once, then one for each; of missing words,
    /// zeros.
    ///
    /// # Shapes
    /// - returns: `(1 + words, width)`
    fn rows(&self, instruction: &str, words: usize, device: &Device) -> Result<Tensor> {
        match self {
            Self::Letters { buckets } => {
                let bags = bags(instruction, words, *buckets);
                Ok(Tensor::from_vec(bags, (1 + words, *buckets), device)?)
            }
            Self::T5(features) => {
                let tokens = features.of(instruction)?;
                let (count, width) = tokens.dims2()?;
                let rows = Tensor::cat(&[&tokens.mean_keepdim(0)?, &tokens], 0)?;
                // As large as a word's bag, however large the features of this T5 are.
                let rows = (ops::norm(&rows)? / (width as f64).sqrt())?;
                Ok(rows.pad_with_zeros(0, 0, words.saturating_sub(count))?)
            }
        }
    }
}

impl InstructionEncoder {
    /// Loads the encoder below `vb`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(config: &InstructionConfig, reader: &Reader, vb: &VarBuilder<'_>) -> Result<Self> {
        let InstructionConfig { width, words, .. } = *config;
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        Ok(Self {
            words,
            reader: reader.clone(),
            table: vb.get_with_hints((reader.width(), width), "table", init)?,
            position: vb.get_with_hints((words + 1, width), "position", init)?,
            up: linear(width, 2 * width, &vb.pp("up"))?,
            down: linear_zero(2 * width, width, &vb.pp("down"))?,
        })
    }

    /// Says where the T5 is, if one reads, for instructions that training did not meet.
    pub fn look_in(&self, folder: &Path) {
        match &self.reader {
            Reader::Letters { .. } => {}
            Reader::T5(features) => features.look_in(folder),
        }
    }

    /// Vectors of one instruction: first one that stands for the whole, then one a word (or token
    /// of a T5); missing words leave their place's own vector.
    ///
    /// # Shapes
    /// - returns: `(1 + words, width)`
    ///
    /// # Errors
    /// A tensor error; where a T5 reads, as [`Features::of`].
    pub fn encode(&self, instruction: &str, device: &Device) -> Result<Tensor> {
        let rows = self.reader.rows(instruction, self.words, device)?;
        let x = (rows.matmul(&self.table)? + &self.position)?;
        let hidden = ops::gelu(&self.up.forward(&ops::norm(&x)?)?)?;
        Ok((x + self.down.forward(&hidden)?)?)
    }

    /// One vector for each of some instructions, of which many may be alike.
    ///
    /// # Shapes
    /// - returns: `(instructions, width)`
    ///
    /// # Errors
    /// As [`encode`](Self::encode), also without an instruction.
    pub fn pooled(&self, instructions: &[&str], device: &Device) -> Result<Tensor> {
        let mut distinct = instructions.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let encoded =
            distinct.iter().map(|text| self.encode(text, device)).collect::<Result<Vec<_>>>()?;
        let rows = instructions
            .iter()
            .map(|text| distinct.partition_point(|other| other < text) as u32)
            .collect::<Vec<_>>();
        let rows = Tensor::new(rows, device)?;
        Ok(Self::pool(&Tensor::stack(&encoded, 0)?)?.index_select(&rows, 0)?)
    }

    /// One vector per instruction, from the vectors of [`encode`](Self::encode).
    ///
    /// # Shapes
    /// - `tokens`: `(batch, 1 + words, width)`
    /// - returns: `(batch, width)`
    ///
    /// # Errors
    /// A tensor error.
    pub fn pool(tokens: &Tensor) -> Result<Tensor> {
        Ok(ops::norm(&tokens.mean(D::Minus2)?)?)
    }
}

/// A row of bucket weights per token; row 0 is the mean over all words.
fn bags(instruction: &str, words: usize, buckets: usize) -> Vec<f32> {
    let mut bags = vec![0.0; (words + 1) * buckets];
    let lower = instruction.to_lowercase();
    let tokens = lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(words)
        .collect::<Vec<_>>();
    for (place, word) in tokens.iter().enumerate() {
        let hashes = hashes(word);
        let weight = 1.0 / (hashes.len() as f32).sqrt();
        for hash in hashes {
            let bucket = (hash % buckets as u64) as usize;
            bags[(place + 1) * buckets + bucket] += weight;
            bags[bucket] += weight / (tokens.len() as f32).sqrt();
        }
    }
    bags
}

/// Hashes of a word and of its letter groups.
fn hashes(word: &str) -> Vec<u64> {
    let letters = std::iter::once('<').chain(word.chars()).chain(['>']).collect::<Vec<_>>();
    let groups = GROUPS.flat_map(|size| letters.windows(size)).map(fnv);
    std::iter::once(fnv(&letters)).chain(groups).collect()
}

/// FNV-1a over the letters: stable across platforms and releases.
fn fnv(letters: &[char]) -> u64 {
    letters
        .iter()
        .flat_map(|letter| u32::from(*letter).to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use rehearse_scenarios::seed::Seed;

    use super::*;
    use crate::nn::Variables;

    #[test]
    fn case_and_punctuation_do_not_matter_but_words_do() {
        let bag = |text: &str| bags(text, 4, 64);
        assert_eq!(bag("Open the drawer."), bag("open, the drawer"));
        assert_ne!(bag("open the drawer"), bag("open the door"));
        assert!(bag("").iter().all(|&x| x == 0.0));
    }

    #[test]
    fn related_words_share_letter_groups() {
        let shared = |a: &str, b: &str| {
            let b = hashes(b);
            hashes(a).into_iter().filter(|hash| b.contains(hash)).count()
        };
        assert!(shared("drawer", "drawers") > 5);
        assert_eq!(shared("drawer", "button"), 0);
    }

    #[test]
    fn instructions_keep_their_order_however_many_are_alike() {
        let variables = Variables::new(Seed::root(2));
        let config = InstructionConfig { width: 8, words: 3, buckets: 32, t5: None };
        let vb = variables.builder(&Device::Cpu, &[]);
        let reader = Reader::new(&config, &vb).unwrap();
        let encoder = InstructionEncoder::new(&config, &reader, &vb).unwrap();
        let texts = ["open the drawer", "close it", "open the drawer", "a", "close it"];
        let many = encoder.pooled(&texts, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        for (text, row) in texts.iter().zip(many) {
            let alone = encoder.encode(text, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let alone = InstructionEncoder::pool(&alone).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(alone[0], row, "{text}");
        }
    }
}
