//! What the training data covers: its starts, and what was done in which pose.

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};
use rehearse_scenarios::episode::Episode;
use rehearse_scenarios::log::RobotLog;
use rehearse_scenarios::observation::{Image, Observation};

use super::super::RunError;
use super::neighbours::{Points, quantile};

/// Most training episodes whose numbers are read.
const EPISODES: usize = 256;
/// Most of them whose first frame is looked at, which costs the decoding of a video each.
const LOOKS: usize = 64;
/// Most motions that trials are compared with.
const MOTIONS: usize = 4096;
/// Cells on a side of an image that is compared with others.
const CELLS: usize = 8;
/// Least edges, in parts of full brightness and in deviations: data that hardly vary say little
/// about what is far from them.
const LEAST: [f32; 3] = [0.01, 0.05, 0.05];

/// The training data, as far as trials are compared with it.
///
/// Distances are those to the nearest neighbour, in units of the edge: of what a given share of
/// the training episodes keep to the others. 1 is the edge, below is within.
#[derive(Clone, Debug)]
pub(super) struct Region {
    scale: Scale,
    looks: Points,
    poses: Points,
    motions: Points,
    /// Of looks, poses and motions.
    edges: [f32; 3],
}

/// Means and deviations of proprioception, then of actions.
#[derive(Clone, Debug)]
struct Scale {
    mean: Vec<f32>,
    deviation: Vec<f32>,
    states: usize,
}

impl Region {
    /// Reads a split of a log; none if the log has no such split, or hardly anything in it.
    ///
    /// # Errors
    /// [`RunError::Log`] if the log is damaged.
    pub(super) fn read(log: &RobotLog, split: &str, within: f32) -> Result<Option<Self>, RunError> {
        let episodes: Vec<usize> = log
            .episodes()
            .iter()
            .filter(|episode| episode.split.as_deref() == Some(split))
            .map(|episode| episode.index)
            .collect();
        let chosen: Vec<usize> =
            episodes.iter().copied().step_by(episodes.len().div_ceil(EPISODES).max(1)).collect();
        if chosen.len() < 2 {
            return Ok(None);
        }
        let rig = log.embodiment();
        let states = rig.proprioception.len();
        let mut rows: Vec<(usize, Vec<f32>)> = vec![];
        let mut starts = vec![];
        for &index in &chosen {
            let table = log.table(index)?;
            for (state, action) in table.state.rows().into_iter().zip(table.action.rows()) {
                rows.push((index, state.iter().chain(action.iter()).copied().collect()));
            }
            starts.extend(table.state.rows().into_iter().next().map(|row| (index, row.to_vec())));
        }
        let seen = chosen
            .iter()
            .step_by(chosen.len().div_ceil(LOOKS))
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|&index| Ok((index, look(&log.observation(index, 0)?))))
            .collect::<Result<Vec<_>, RunError>>()?;
        let scale = Scale::of(rows.iter().map(|(_, row)| row), states);
        let mut motions = Points::new(scale.mean.len());
        for (episode, row) in &rows {
            motions.push(*episode, &scale.normal(row));
        }
        let motions = motions.thinned(MOTIONS);
        let mut looks = Points::new(rig.cameras.len() * CELLS * CELLS * 3);
        let mut poses = Points::new(states);
        for (episode, look) in &seen {
            looks.push(*episode, look);
        }
        for (episode, pose) in &starts {
            poses.push(*episode, &scale.normal(pose));
        }
        let mut region = Self { scale, looks, poses, motions, edges: LEAST };
        let mut own: [Vec<f32>; 3] = Default::default();
        own[0].extend(seen.iter().filter_map(|(of, look)| region.looks.nearest(look, Some(*of))));
        for (index, pose) in &starts {
            own[1].extend(region.poses.nearest(&region.scale.normal(pose), Some(*index)));
            let of_episode =
                rows.iter().filter(|(of, _)| of == index).map(|(_, row)| row.as_slice());
            own[2].extend(region.motion_apart(of_episode, Some(*index)));
        }
        for ((edge, own), least) in region.edges.iter_mut().zip(own).zip(LEAST) {
            *edge = quantile(own, within).unwrap_or(least).max(least);
        }
        Ok(Some(region))
    }

    /// How far a start lies from the training starts, in units of the edge: the larger of what it
    /// looks like and of its pose.
    pub(super) fn start_distance(&self, start: &Observation) -> Option<f32> {
        let look = self.looks.nearest(&look(start), None).map(|apart| apart / self.edges[0]);
        let pose = self.scale.normal(&start.proprioception);
        let pose = self.poses.nearest(&pose, None).map(|apart| apart / self.edges[1]);
        look.into_iter().chain(pose).max_by(f32::total_cmp)
    }

    /// How far what was done in which pose lies from the training data, in the mean over the
    /// steps, in units of the edge.
    pub(super) fn action_distance(&self, episode: &Episode) -> Option<f32> {
        let rows: Vec<Vec<f32>> = episode
            .observations
            .iter()
            .zip(&episode.actions)
            .map(|(seen, action)| seen.proprioception.iter().chain(action).copied().collect())
            .collect();
        let apart = self.motion_apart(rows.iter().map(Vec::as_slice), None)?;
        Some(apart / self.edges[2])
    }

    fn motion_apart<'a>(
        &self,
        rows: impl Iterator<Item = &'a [f32]>,
        but: Option<usize>,
    ) -> Option<f32> {
        let (mut sum, mut count) = (0.0, 0.0);
        for row in rows {
            sum += self.motions.nearest(&self.scale.normal(row), but)?;
            count += 1.0;
        }
        (count > 0.0).then(|| sum / count)
    }
}

impl Scale {
    fn of<'a>(rows: impl Iterator<Item = &'a Vec<f32>> + Clone, states: usize) -> Self {
        let width = rows.clone().next().map_or(0, Vec::len);
        let count = rows.clone().count().max(1) as f64;
        let mut mean = vec![0.0_f64; width];
        for row in rows.clone() {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value) / count);
        }
        let mut square = vec![0.0_f64; width];
        for row in rows {
            for ((sum, &value), mean) in square.iter_mut().zip(row).zip(&mean) {
                *sum += (f64::from(value) - mean).powi(2) / count;
            }
        }
        Self {
            mean: mean.into_iter().map(|value| value as f32).collect(),
            // A channel that never moves keeps its own units.
            deviation: square
                .into_iter()
                .map(|value| if value > 1e-12 { value.sqrt() as f32 } else { 1.0 })
                .collect(),
            states,
        }
    }

    /// Proprioception, alone or with actions behind it, in units of deviations.
    fn normal(&self, row: &[f32]) -> Vec<f32> {
        debug_assert!(row.len() == self.states || row.len() == self.mean.len());
        row.iter()
            .zip(self.mean.iter().zip(&self.deviation))
            .map(|(value, (mean, deviation))| (value - mean) / deviation)
            .collect()
    }
}

/// What a start looks like: the mean colours of a grid of cells, camera by camera, in [0, 1].
fn look(start: &Observation) -> Vec<f32> {
    start.images.values().flat_map(cells).collect()
}

fn cells(image: &Image) -> Vec<f32> {
    let (height, width) = (image.height() as usize, image.width() as usize);
    let pixels = image.pixels();
    let mut means = Vec::with_capacity(CELLS * CELLS * 3);
    // Images smaller than the grid repeat their pixels.
    let span = |cell: usize, of: usize| {
        let from = cell * of / CELLS;
        from..((cell + 1) * of / CELLS).max(from + 1).min(of)
    };
    for row in 0..CELLS {
        for column in 0..CELLS {
            let (mut sum, mut count) = ([0.0_f32; 3], 0.0_f32);
            for y in span(row, height) {
                for x in span(column, width) {
                    let at = 3 * (y * width + x);
                    for (sum, value) in sum.iter_mut().zip(&pixels[at..at + 3]) {
                        *sum += f32::from(*value) / 255.0;
                    }
                    count += 1.0;
                }
            }
            means.extend(sum.map(|sum| sum / count.max(1.0)));
        }
    }
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_becomes_the_mean_colours_of_its_cells() {
        let mut pixels = vec![0; 16 * 16 * 3];
        // The upper left cell is 2 × 2 pixels; one of them is red.
        pixels[0] = 255;
        let image = Image::from_rgb(16, 16, pixels).unwrap();
        let means = cells(&image);
        assert_eq!(means.len(), CELLS * CELLS * 3);
        assert_eq!((means[0], means[1], means[3]), (0.25, 0.0, 0.0));
        let tiny = Image::from_rgb(2, 2, vec![51; 12]).unwrap();
        assert!(cells(&tiny).iter().all(|mean| (mean - 0.2).abs() < 1e-6));
    }

    #[test]
    fn numbers_are_scaled_by_what_the_data_show() {
        let rows = [vec![1.0, 5.0], vec![3.0, 5.0]];
        let scale = Scale::of(rows.iter(), 1);
        assert_eq!(scale.normal(&[4.0, 6.0]), [2.0, 1.0]);
        assert_eq!(scale.normal(&[1.0]), [-1.0]);
    }
}
