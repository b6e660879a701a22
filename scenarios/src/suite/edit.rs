//! Variations applied: a start's images and instruction, changed as its seed says.

use std::f32::consts::TAU;
use std::sync::Arc;

use image::{ImageBuffer, Rgb, RgbImage, imageops};
use rand::Rng as _;
use rand_chacha::ChaCha12Rng;

use super::Variation;
use crate::observation::{Image, Observation};
use crate::seed::Seed;

/// A variation as it was drawn for one scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Varied {
    /// The changed first observation.
    pub observation: Observation,
    /// How strong the change is, in the unit of its range: a gain, pixels, a fraction of the
    /// image's side, degrees; for a paraphrase the index of the wording.
    pub strength: f32,
}

impl Variation {
    /// Changes a start as `seed` says; the same seed gives the same change.
    ///
    /// The strength is drawn once and holds for all cameras; where a patch lies is drawn for each.
    pub fn apply(&self, start: &Observation, seed: &Seed) -> Varied {
        let mut rng = seed.child("strength").rng();
        let mut observation = start.clone();
        let strength = match self {
            Self::Paraphrase { wordings } => {
                let index = rng.random_range(0..wordings.len());
                let wording = wordings[index].replace("{instruction}", &start.instruction);
                observation.instruction = Arc::from(wording);
                return Varied { observation, strength: index as f32 };
            }
            Self::Lighting { gain } => draw(&mut rng, *gain),
            Self::Blur { sigma_px } => draw(&mut rng, *sigma_px),
            Self::CameraShift { distance_px } => draw(&mut rng, *distance_px),
            Self::Occluder { size } | Self::Distractor { size } => draw(&mut rng, *size),
            Self::Colour { hue_deg } => draw(&mut rng, *hue_deg),
        };
        for (camera, image) in &mut observation.images {
            let mut rng = seed.child("camera").child(camera).rng();
            let edited = self.edit(&to_buffer(image), strength, &mut rng);
            // An edit keeps the size, so the pixels always fit.
            if let Ok(edited) = Image::from_rgb(image.height(), image.width(), edited.into_raw()) {
                *image = edited;
            }
        }
        Varied { observation, strength }
    }

    fn edit(&self, image: &RgbImage, strength: f32, rng: &mut ChaCha12Rng) -> RgbImage {
        match self {
            Self::Lighting { .. } => lit(image, strength),
            Self::Blur { .. } if strength > 0.0 => imageops::blur(image, strength),
            Self::CameraShift { .. } => {
                let angle = rng.random_range(0.0..TAU);
                shifted(image, strength * angle.cos(), strength * angle.sin())
            }
            Self::Occluder { .. } => {
                let shade = rng.random_range(0..48);
                patched(image, strength, rng, |_row, _column| Rgb([shade; 3]))
            }
            Self::Distractor { .. } => {
                let colours: [Rgb<u8>; 2] = [Rgb(rng.random()), Rgb(rng.random())];
                let cell = rng.random_range(2..6_u32);
                patched(image, strength, rng, |row, column| {
                    colours[((row / cell + column / cell) % 2) as usize]
                })
            }
            Self::Colour { .. } => imageops::huerotate(image, strength.round() as i32),
            Self::Blur { .. } | Self::Paraphrase { .. } => image.clone(),
        }
    }
}

fn draw(rng: &mut ChaCha12Rng, [low, high]: [f32; 2]) -> f32 {
    rng.random_range(low..=high)
}

fn to_buffer(image: &Image) -> RgbImage {
    ImageBuffer::from_fn(image.width(), image.height(), |column, row| {
        let at = 3 * (row as usize * image.width() as usize + column as usize);
        let pixels = image.pixels();
        Rgb([pixels[at], pixels[at + 1], pixels[at + 2]])
    })
}

fn lit(image: &RgbImage, gain: f32) -> RgbImage {
    let mut lit = image.clone();
    for value in lit.iter_mut() {
        *value = (f32::from(*value) * gain).round().clamp(0.0, 255.0) as u8;
    }
    lit
}

/// Moves the picture right and down by whole pixels; what is uncovered repeats the edge.
fn shifted(image: &RgbImage, right: f32, down: f32) -> RgbImage {
    let (right, down) = (right.round() as i64, down.round() as i64);
    let from =
        |to: u32, by: i64, side: u32| (i64::from(to) - by).clamp(0, i64::from(side) - 1) as u32;
    ImageBuffer::from_fn(image.width(), image.height(), |column, row| {
        *image.get_pixel(from(column, right, image.width()), from(row, down, image.height()))
    })
}

/// Lays a square over the picture, `size` of the shorter side, whole within it.
fn patched(
    image: &RgbImage,
    size: f32,
    rng: &mut ChaCha12Rng,
    paint: impl Fn(u32, u32) -> Rgb<u8>,
) -> RgbImage {
    let shorter = image.width().min(image.height());
    let side = ((size * shorter as f32).round() as u32).min(shorter);
    let left = rng.random_range(0..=image.width() - side);
    let top = rng.random_range(0..=image.height() - side);
    let mut patched = image.clone();
    for row in 0..side {
        for column in 0..side {
            patched.put_pixel(left + column, top + row, paint(row, column));
        }
    }
    patched
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::time::SimTime;

    fn start() -> Observation {
        let pixels: Vec<u8> = (0..8 * 10 * 3).map(|byte| (byte % 200) as u8).collect();
        let image = Image::from_rgb(8, 10, pixels).unwrap();
        Observation {
            images: BTreeMap::from([("front".into(), image.clone()), ("wrist".into(), image)]),
            proprioception: vec![0.5],
            instruction: "open the drawer".into(),
            time: SimTime::ZERO,
        }
    }

    fn changed(variation: &Variation, seed: u64) -> (usize, Varied) {
        let before = start();
        let varied = variation.apply(&before, &Seed::root(seed));
        let pixels = |seen: &Observation| seen.images["front"].pixels().to_vec();
        let (old, new) = (pixels(&before), pixels(&varied.observation));
        (old.iter().zip(&new).filter(|(a, b)| a != b).count(), varied)
    }

    #[test]
    fn variations_of_no_strength_change_nothing() {
        for variation in [
            Variation::Lighting { gain: [1.0, 1.0] },
            Variation::Blur { sigma_px: [0.0, 0.0] },
            Variation::CameraShift { distance_px: [0.0, 0.0] },
            Variation::Occluder { size: [0.0, 0.0] },
            Variation::Distractor { size: [0.0, 0.0] },
            Variation::Colour { hue_deg: [0.0, 0.0] },
        ] {
            let (different, varied) = changed(&variation, 1);
            // Turning the hue by nothing still rounds.
            let rounding = |a: u8, b: u8| a.abs_diff(b) <= 1;
            let old = start().images["front"].pixels().to_vec();
            let new = varied.observation.images["front"].pixels().to_vec();
            assert!(
                different == 0 || old.iter().zip(&new).all(|(a, b)| rounding(*a, *b)),
                "{variation:?} changed {different} values"
            );
        }
    }

    #[test]
    fn a_patch_covers_its_share_and_lies_elsewhere_for_another_seed() {
        let variation = Variation::Occluder { size: [0.5, 0.5] };
        let (different, first) = changed(&variation, 1);
        assert!((1..=4 * 4 * 3).contains(&different));
        let (_, again) = changed(&variation, 1);
        assert_eq!(first, again);
        let others = (2..8).filter(|&seed| changed(&variation, seed).1 != first).count();
        assert!(others > 0);
    }

    #[test]
    fn light_is_a_gain() {
        let (_, varied) = changed(&Variation::Lighting { gain: [2.0, 2.0] }, 1);
        let new = varied.observation.images["wrist"].pixels()[..4].to_vec();
        assert_eq!((new, varied.strength), (vec![0, 2, 4, 6], 2.0));
    }

    #[test]
    fn a_shift_moves_by_the_drawn_distance() {
        let image = to_buffer(&start().images["front"]);
        let moved = shifted(&image, 2.0, 1.0);
        assert_eq!(moved.get_pixel(5, 4), image.get_pixel(3, 3));
        assert_eq!(moved.get_pixel(0, 0), image.get_pixel(0, 0));
    }

    #[test]
    fn a_paraphrase_changes_the_words_only() {
        let wordings = vec!["please {instruction}".to_owned()];
        let (different, varied) = changed(&Variation::Paraphrase { wordings }, 3);
        assert_eq!(different, 0);
        assert_eq!(&*varied.observation.instruction, "please open the drawer");
    }
}
