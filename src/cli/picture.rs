//! How pictures are written.

use std::path::Path;

use anyhow::Context as _;
use rehearse_world_model::filmstrip::Picture;

/// Writes a picture as a PNG file.
///
/// # Errors
/// If the file cannot be written.
pub fn write_png(picture: &Picture, path: &Path) -> anyhow::Result<()> {
    let Picture { width, height, pixels } = picture;
    let (width, height) = (u32::try_from(*width)?, u32::try_from(*height)?);
    image::save_buffer(path, pixels, width, height, image::ColorType::Rgb8)
        .with_context(|| path.display().to_string())
}
