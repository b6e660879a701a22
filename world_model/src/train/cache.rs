//! The token cache: latents of every training frame, in half precision, in one file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use half::f16;
use half::slice::HalfFloatSliceExt as _;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Result};

/// Latents on disk, read frame by frame, so that memory does not grow with the logs.
#[derive(Debug)]
pub struct TokenCache {
    file: File,
    path: PathBuf,
    index: Index,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    /// What the tokens were made from: data, basis, sizes.
    fingerprint: String,
    patches: usize,
    coefficients: usize,
    /// First frame and frames of each episode.
    episodes: BTreeMap<usize, (u64, usize)>,
}

/// Writes a cache; nothing is there until [`finish`](Self::finish).
pub struct CacheWriter {
    /// Of the tokens and of the index.
    paths: (PathBuf, PathBuf),
    part: PathBuf,
    file: BufWriter<File>,
    index: Index,
    frames: u64,
}

impl TokenCache {
    /// Opens the cache called `name` in `folder`, if it is there, whole, and has this fingerprint.
    pub fn open(folder: &Path, name: &str, fingerprint: &str) -> Option<Self> {
        let (path, index) = paths(folder, name);
        let index: Index = serde_json::from_slice(&std::fs::read(index).ok()?).ok()?;
        let file = File::open(&path).ok()?;
        let frames: usize = index.episodes.values().map(|(_, frames)| frames).sum();
        let bytes = (frames * index.patches * index.coefficients * 2) as u64;
        let whole = index.fingerprint == fingerprint && file.metadata().ok()?.len() == bytes;
        whole.then_some(Self { file, path, index })
    }

    /// Begins a new cache called `name` in `folder`.
    ///
    /// # Errors
    /// [`ModelError::Io`].
    pub fn create(
        folder: &Path,
        name: &str,
        fingerprint: &str,
        patches: usize,
        coefficients: usize,
    ) -> Result<CacheWriter> {
        let paths = paths(folder, name);
        let part = paths.0.with_extension("part");
        let file = File::create(&part).map_err(ModelError::io("write the token cache", &part))?;
        Ok(CacheWriter {
            paths,
            part,
            file: BufWriter::with_capacity(1 << 20, file),
            index: Index {
                fingerprint: fingerprint.to_owned(),
                patches,
                coefficients,
                episodes: BTreeMap::new(),
            },
            frames: 0,
        })
    }

    /// Appends the latents of some frames of an episode to `into`.
    ///
    /// # Errors
    /// [`ModelError::Size`] for frames that are not there, [`ModelError::Io`].
    pub fn read(&self, episode: usize, frames: Range<usize>, into: &mut Vec<f32>) -> Result<()> {
        let stored = self.index.episodes.get(&episode).copied();
        let Some((first, count)) = stored.filter(|(_, count)| frames.end <= *count) else {
            return Err(ModelError::size(
                format!("episode {episode} of the token cache"),
                format!("{} frames", frames.end),
                format!("{stored:?}"),
            ));
        };
        debug_assert!(frames.start <= count, "ranges run forwards");
        let each = self.index.patches * self.index.coefficients;
        let mut bytes = vec![0; frames.len() * each * 2];
        self.file
            .read_exact_at(&mut bytes, (first + frames.start as u64) * (each * 2) as u64)
            .map_err(ModelError::io("read the token cache", &self.path))?;
        let start = into.len();
        into.resize(start + frames.len() * each, 0.0);
        let halves = bytes
            .chunks_exact(2)
            .map(|pair| f16::from_le_bytes([pair[0], pair[1]]))
            .collect::<Vec<_>>();
        halves.convert_to_f32_slice(&mut into[start..]);
        Ok(())
    }

    /// The latents of some frames of an episode, `(frames, patches, coefficients)`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn frames(&self, episode: usize, frames: Range<usize>, device: &Device) -> Result<Tensor> {
        let mut values = Vec::new();
        let count = frames.len();
        self.read(episode, frames, &mut values)?;
        let shape = (count, self.index.patches, self.index.coefficients);
        Ok(Tensor::from_vec(values, shape, device)?)
    }
}

impl CacheWriter {
    /// Adds an episode's latents, `frames × patches × coefficients`.
    ///
    /// # Errors
    /// [`ModelError::NotFinite`] and [`ModelError::Io`].
    pub fn add(&mut self, episode: usize, latents: &[f32]) -> Result<()> {
        let each = self.index.patches * self.index.coefficients;
        let frames = latents.len() / each;
        let mut bytes = Vec::with_capacity(latents.len() * 2);
        for &value in latents {
            if !value.is_finite() {
                return Err(ModelError::NotFinite {
                    what: "a token".to_owned(),
                    place: Some(format!("episode {episode}")),
                });
            }
            bytes.extend(f16::from_f32(value.clamp(-6e4, 6e4)).to_le_bytes());
        }
        self.file.write_all(&bytes).map_err(ModelError::io("write the token cache", &self.part))?;
        self.index.episodes.insert(episode, (self.frames, frames));
        self.frames += frames as u64;
        Ok(())
    }

    /// Puts the cache in place and opens it.
    ///
    /// # Errors
    /// [`ModelError::Io`] and [`ModelError::Json`].
    pub fn finish(mut self) -> Result<TokenCache> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        written.map_err(ModelError::io("write the token cache", &self.part))?;
        let (path, index_path) = self.paths;
        std::fs::rename(&self.part, &path)
            .map_err(ModelError::io("write the token cache", &path))?;
        let index = serde_json::to_vec(&self.index).map_err(|source| ModelError::Json {
            what: "the index of the token cache".to_owned(),
            source,
        })?;
        crate::checkpoint::write_atomically(&index_path, &index)?;
        let file = File::open(&path).map_err(ModelError::io("read the token cache", &path))?;
        Ok(TokenCache { file, path, index: self.index })
    }
}

/// The files of a cache: tokens and index.
fn paths(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    (folder.join(format!("{name}.f16")), folder.join(format!("{name}.json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_and_a_foreign_or_cut_cache_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = TokenCache::create(folder.path(), "tokens", "a", 2, 3).unwrap();
        writer.add(7, &(0..18).map(|i| i as f32 * 0.5).collect::<Vec<_>>()).unwrap();
        writer.add(9, &[1.0; 6]).unwrap();
        assert!(TokenCache::open(folder.path(), "tokens", "a").is_none());
        let cache = writer.finish().unwrap();
        let mut values = vec![-1.0];
        cache.read(7, 1..2, &mut values).unwrap();
        assert_eq!(values, [-1.0, 3.0, 3.5, 4.0, 4.5, 5.0, 5.5]);
        assert!(cache.read(7, 2..4, &mut values).is_err());
        assert!(cache.read(8, 0..1, &mut values).is_err());
        assert!(TokenCache::open(folder.path(), "tokens", "a").is_some());
        assert!(TokenCache::open(folder.path(), "tokens", "b").is_none());
        let path = folder.path().join("tokens.f16");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[1..]).unwrap();
        assert!(TokenCache::open(folder.path(), "tokens", "a").is_none());
    }
}
