//! Distances to the nearest of some points.

/// Points, each of one group, in one space.
#[derive(Clone, Debug)]
pub(super) struct Points {
    values: Vec<f32>,
    groups: Vec<usize>,
    width: usize,
}

impl Points {
    pub(super) const fn new(width: usize) -> Self {
        Self { values: vec![], groups: vec![], width }
    }

    /// Adds a point of a group; one of another width is passed over.
    pub(super) fn push(&mut self, group: usize, point: &[f32]) {
        if point.len() == self.width {
            self.values.extend_from_slice(point);
            self.groups.push(group);
        }
    }

    /// Every n-th point, so that `most` are left at most.
    pub(super) fn thinned(&self, most: usize) -> Self {
        let step = self.groups.len().div_ceil(most.max(1)).max(1);
        let mut thin = Self::new(self.width);
        for (point, &group) in
            self.values.chunks_exact(self.width.max(1)).zip(&self.groups).step_by(step)
        {
            thin.push(group, point);
        }
        thin
    }

    /// Distance from a point to the nearest one that is not of group `but`, as the root of the
    /// mean square over the coordinates; none if there is none.
    pub(super) fn nearest(&self, point: &[f32], but: Option<usize>) -> Option<f32> {
        if point.len() != self.width || self.width == 0 {
            return None;
        }
        self.values
            .chunks_exact(self.width)
            .zip(&self.groups)
            .filter(|(_, group)| Some(**group) != but)
            .map(|(other, _)| other.iter().zip(point).map(|(a, b)| (a - b) * (a - b)).sum::<f32>())
            .min_by(f32::total_cmp)
            .map(|square| (square / self.width as f32).sqrt())
    }
}

/// The value that a share of all stays below; none of none.
pub(super) fn quantile(mut values: Vec<f32>, share: f32) -> Option<f32> {
    values.sort_unstable_by(f32::total_cmp);
    let place = (share * values.len() as f32).ceil() as usize;
    values.get(place.saturating_sub(1).min(values.len().saturating_sub(1))).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_point_of_another_group_counts() {
        let mut points = Points::new(2);
        points.push(0, &[0.0, 0.0]);
        points.push(1, &[3.0, 4.0]);
        points.push(1, &[1.0]);
        assert_eq!(points.nearest(&[0.0, 0.0], None), Some(0.0));
        // √((9 + 16) / 2)
        assert_eq!(points.nearest(&[0.0, 0.0], Some(0)), Some(12.5_f32.sqrt()));
        assert_eq!(points.nearest(&[0.0], None), None);
        assert_eq!(Points::new(2).nearest(&[0.0, 0.0], None), None);
        assert_eq!(points.thinned(1).nearest(&[3.0, 4.0], None), Some(12.5_f32.sqrt()));
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values = || (1..=10).map(|value| value as f32).collect::<Vec<_>>();
        assert_eq!(quantile(values(), 0.9), Some(9.0));
        assert_eq!(quantile(values(), 0.99), Some(10.0));
        assert_eq!(quantile(values(), 0.01), Some(1.0));
        assert_eq!(quantile(vec![], 0.5), None);
    }
}
