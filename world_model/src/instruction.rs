//! The instruction as a few vectors: a small encoder trained from scratch.
//!
//! A word is the mean of the table rows that its letter groups hash to (as in fastText), so a
//! word that training never met still lands near its relatives.

use candle_core::{D, Device, Tensor};
use candle_nn::{Init, VarBuilder};

use crate::config::InstructionConfig;
use crate::error::Result;
use crate::nn::{Linear, linear, linear_zero, ops};

/// Shortest and longest group of letters, with the word's borders counted as letters.
const GROUPS: std::ops::RangeInclusive<usize> = 3..=5;

/// Encodes instructions.
#[derive(Clone, Debug)]
pub struct InstructionEncoder {
    words: usize,
    buckets: usize,
    table: Tensor,
    position: Tensor,
    up: Linear,
    down: Linear,
}

impl InstructionEncoder {
    /// Loads the encoder below `vb`.
    ///
    /// # Errors
    /// A tensor error if the checkpoint lacks a tensor or has another shape.
    pub fn new(config: &InstructionConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let InstructionConfig { width, words, buckets } = *config;
        let init = Init::Randn { mean: 0.0, stdev: 1.0 };
        Ok(Self {
            words,
            buckets,
            table: vb.get_with_hints((buckets, width), "table", init)?,
            position: vb.get_with_hints((words + 1, width), "position", init)?,
            up: linear(width, 2 * width, &vb.pp("up"))?,
            down: linear_zero(2 * width, width, &vb.pp("down"))?,
        })
    }

    /// Vectors of one instruction: first one that stands for the whole, then one a word; missing
    /// words leave their place's own vector.
    ///
    /// # Shapes
    /// - returns: `(1 + words, width)`
    ///
    /// # Errors
    /// A tensor error.
    pub fn encode(&self, instruction: &str, device: &Device) -> Result<Tensor> {
        let bags = Tensor::from_vec(
            bags(instruction, self.words, self.buckets),
            (self.words + 1, self.buckets),
            device,
        )?;
        let x = (bags.matmul(&self.table)? + &self.position)?;
        let hidden = ops::gelu(&self.up.forward(&ops::norm(&x)?)?)?;
        Ok((x + self.down.forward(&hidden)?)?)
    }

    /// One vector for each of some instructions, of which many may be alike.
    ///
    /// # Shapes
    /// - returns: `(instructions, width)`
    ///
    /// # Errors
    /// A tensor error, also without an instruction.
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
        let config = InstructionConfig { width: 8, words: 3, buckets: 32 };
        let vb = variables.builder(&Device::Cpu, &[]);
        let encoder = InstructionEncoder::new(&config, &vb).unwrap();
        let texts = ["open the drawer", "close it", "open the drawer", "a", "close it"];
        let many = encoder.pooled(&texts, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
        for (text, row) in texts.iter().zip(many) {
            let alone = encoder.encode(text, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
            let alone = InstructionEncoder::pool(&alone).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(alone[0], row, "{text}");
        }
    }
}
