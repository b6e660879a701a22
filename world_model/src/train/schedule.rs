//! The learning rate over a stage.

use crate::train::config::StageConfig;

/// The rate at a step: a linear rise, then half a cosine down to a hundredth of the highest.
pub fn learning_rate(stage: &StageConfig, step: usize) -> f64 {
    let rise = (stage.warmup * stage.steps as f64).max(1.0);
    let at = step as f64;
    if at < rise {
        return stage.rate * (at + 1.0) / rise;
    }
    let part = ((at - rise) / (stage.steps as f64 - rise).max(1.0)).min(1.0);
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * part).cos());
    stage.rate * (0.01 + 0.99 * cosine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_then_falls() {
        let stage: StageConfig =
            toml::from_str("steps = 100\nbatch = 1\nrate = 2.0\nwarmup = 0.1").unwrap();
        assert!((learning_rate(&stage, 0) - 0.2).abs() < 1e-12);
        assert!((learning_rate(&stage, 9) - 2.0).abs() < 1e-12);
        assert!((learning_rate(&stage, 55) - 2.0 * (0.01 + 0.99 * 0.5)).abs() < 1e-9);
        assert!((learning_rate(&stage, 100) - 0.02).abs() < 1e-9);
        assert!((10..100).all(|i| learning_rate(&stage, i + 1) < learning_rate(&stage, i)));
    }
}
