//! Why frames or features could not be compared.

/// Why frames or features could not be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum VideoError {
    /// Frames of different shape.
    #[error("frames of shape {left:?} and {right:?} cannot be compared")]
    Shape {
        /// (height, width, channels) of the first.
        left: (usize, usize, usize),
        /// (height, width, channels) of the second.
        right: (usize, usize, usize),
    },
    /// A frame without pixels.
    #[error("a frame needs at least one pixel and one channel, got shape {got:?}")]
    Empty {
        /// Its (height, width, channels).
        got: (usize, usize, usize),
    },
    /// A frame smaller than the window that slides over it.
    #[error("a window of {window} pixels does not fit a frame of {height}×{width}")]
    Window {
        /// Side of the window.
        window: usize,
        /// Height of the frame.
        height: usize,
        /// Width of the frame.
        width: usize,
    },
    /// An option outside its range.
    #[error("{option} must be {expected}, got {got}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What was given.
        got: f64,
    },
    /// Too few frames for a measure of motion.
    #[error("{measure} needs at least {needed} frames, got {got}")]
    TooFewFrames {
        /// The measure.
        measure: &'static str,
        /// Smallest number it takes.
        needed: usize,
        /// Frames given.
        got: usize,
    },
    /// Too few feature vectors for a distance between sets.
    #[error("{distance} needs at least {needed} feature vectors on either side, got {got}")]
    TooFewVectors {
        /// The distance.
        distance: &'static str,
        /// Smallest number it takes.
        needed: usize,
        /// Vectors given on the smaller side.
        got: usize,
    },
    /// Feature vectors of different length.
    #[error("feature vectors of {left} and {right} dimensions cannot be compared")]
    Dimensions {
        /// Dimensions on the left.
        left: usize,
        /// Dimensions on the right.
        right: usize,
    },
    /// Layers that do not match between the two sides, or their weights.
    #[error("layer {layer}: {what}")]
    Layer {
        /// Its place, from 0.
        layer: usize,
        /// What does not match.
        what: &'static str,
    },
    /// NaN or an infinity among features.
    #[error("a feature is {value}, not a finite number")]
    NotFinite {
        /// What it is.
        value: f64,
    },
    /// An eigenvalue iteration that did not converge.
    #[error("the eigenvalues of a {dimensions}×{dimensions} covariance did not converge")]
    NotConverged {
        /// Side of the matrix.
        dimensions: usize,
    },
}
