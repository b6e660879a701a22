//! LPIPS and FVD: the features of the world model's networks in the formulas of scoring.

use std::path::Path;

use candle_core::{Device, Tensor};
use ndarray::{Array2, Array4, Axis};
use rehearse_scoring::video::{FeatureLayer, frechet_distance, lpips};
use rehearse_world_model::perception::{AlexNet, ClipMeasure, FrameMeasure, I3d};
use rehearse_world_model::{ModelError, Result};

/// Frames that the network sees at once.
const BATCH: usize = 16;

/// LPIPS by `AlexNet`.
#[derive(Clone, Debug)]
pub struct Lpips(AlexNet);

impl Lpips {
    /// Reads the weights; see [`AlexNet::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        AlexNet::load(path, device).map(Self)
    }

    /// Features by layer, each `(frames, channels, height, width)`.
    fn features(&self, frames: &Tensor) -> Result<Vec<Array4<f32>>> {
        let layers = self.0.features(frames)?.into_iter();
        layers
            .map(|layer| {
                let shape = layer.dims4()?;
                Array4::from_shape_vec(shape, layer.flatten_all()?.to_vec1()?)
                    .map_err(|source| failed("LPIPS", source))
            })
            .collect()
    }
}

impl FrameMeasure for Lpips {
    fn digest(&self) -> &str {
        self.0.digest()
    }

    fn smallest(&self) -> usize {
        AlexNet::SMALLEST
    }

    fn distances(&self, recorded: &Tensor, imagined: &Tensor) -> Result<Vec<f64>> {
        let frames = imagined.dim(0)?;
        let mut distances = Vec::with_capacity(frames);
        for first in (0..frames).step_by(BATCH) {
            let count = BATCH.min(frames - first);
            let recorded = self.features(&recorded.narrow(0, first, count)?)?;
            let imagined = self.features(&imagined.narrow(0, first, count)?)?;
            for frame in 0..count {
                let layers = recorded
                    .iter()
                    .zip(&imagined)
                    .zip(self.0.importance())
                    .map(|((truth, predicted), weights)| FeatureLayer {
                        truth: truth.index_axis(Axis(0), frame),
                        predicted: predicted.index_axis(Axis(0), frame),
                        weights,
                    })
                    .collect::<Vec<_>>();
                distances.push(lpips(&layers).map_err(|source| failed("LPIPS", source))?);
            }
        }
        Ok(distances)
    }
}

/// FVD by I3D.
#[derive(Clone, Debug)]
pub struct Fvd(I3d);

impl Fvd {
    /// Reads the weights; see [`I3d::load`].
    ///
    /// # Errors
    /// As there.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        I3d::load(path, device).map(Self)
    }
}

impl ClipMeasure for Fvd {
    fn digest(&self) -> &str {
        self.0.digest()
    }

    fn features(&self, clip: &Tensor) -> Result<Vec<f32>> {
        self.0.features(clip)
    }

    fn distance(&self, recorded: &[Vec<f32>], imagined: &[Vec<f32>]) -> Result<f64> {
        frechet_distance(&rows(recorded), &rows(imagined)).map_err(|source| failed("FVD", source))
    }
}

/// Feature vectors of one length as the rows of a matrix.
fn rows(vectors: &[Vec<f32>]) -> Array2<f64> {
    let dimensions = vectors.first().map_or(0, Vec::len);
    Array2::from_shape_fn((vectors.len(), dimensions), |(row, column)| {
        vectors[row].get(column).map_or(f64::NAN, |&value| f64::from(value))
    })
}

fn failed(
    measure: &'static str,
    source: impl std::error::Error + Send + Sync + 'static,
) -> ModelError {
    ModelError::Measure { measure, source: Box::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(name: &str) -> std::path::PathBuf {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/world_model/tests/fixtures");
        Path::new(folder).join(name)
    }

    /// The frames of `world_model/tools/gen_perception.py`.
    fn drawn(frames: usize, height: usize, width: usize, factor: usize) -> Tensor {
        let shape = (frames, 3, height, width);
        let values = Array4::from_shape_fn(shape, |(n, c, y, x)| {
            let value = (3 * x + 5 * y + 7 * n + 13 * c + factor * x * y + n * x) % 17;
            value as f32 / 8.0 - 1.0
        });
        Tensor::from_iter(values, &Device::Cpu).unwrap().reshape(shape).unwrap()
    }

    #[test]
    fn lpips_equals_the_reference() {
        let path = fixture("lpips.safetensors");
        let measure = Lpips::load(&path, &Device::Cpu).unwrap();
        let cases = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        let truth = cases["case.distances"].to_vec1::<f32>().unwrap();
        let (recorded, imagined) = (drawn(3, 37, 45, 1), drawn(3, 37, 45, 2));
        let got = measure.distances(&recorded, &imagined).unwrap();
        // More frames than are seen at once, of which every third is another of the three.
        let many = |x: &Tensor| Tensor::cat(&[x; 7], 0).unwrap();
        let all = measure.distances(&many(&recorded), &many(&imagined)).unwrap();
        assert_eq!((got.len(), all.len()), (3, 21));
        for (index, value) in got.iter().chain(&all).enumerate() {
            let truth = f64::from(truth[index % 3]);
            assert!((value - truth).abs() < 1e-5 * truth, "{index}: {value} against {truth}");
        }
        assert_eq!(measure.distances(&recorded, &recorded).unwrap(), [0.0; 3]);
    }

    #[test]
    fn fvd_is_the_frechet_distance_of_logits() {
        let measure = Fvd::load(&fixture("i3d.safetensors"), &Device::Cpu).unwrap();
        // Means 1 and 4, variances 1 and 4: 9 + (1 − 2)².
        let vectors = |values: [f32; 3]| values.map(|value| vec![value]).to_vec();
        let (a, b) = (vectors([0.0, 1.0, 2.0]), vectors([2.0, 4.0, 6.0]));
        assert!((measure.distance(&a, &b).unwrap() - 10.0).abs() < 1e-9);
        let one = measure.distance(&a[..1], &b).unwrap_err().to_string();
        assert!(one.contains("FVD") && one.contains("at least 2"), "{one}");
        let ragged = [vec![1.0, 2.0], vec![1.0]];
        assert!(measure.distance(&ragged, &ragged).is_err());
    }
}
