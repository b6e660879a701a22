//! An episode of a robot log: images, state, action, success, chunk boundaries.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageEncoder as _};
use ndarray::Array2;
use rehearse_scenarios::embodiment::{Channel, Embodiment};
use rehearse_scenarios::log::{EpisodeTable, RobotLog};
use rehearse_scenarios::observation::Image;
use rehearse_world_model::partition::{Chunk, Motion, partition};
use rehearse_world_model::statistics::motion_channels;
use rerun::blueprint::{
    Blueprint, ContainerLike, Horizontal, Spatial2DView, TextDocumentView, TimeSeriesView, Vertical,
};
use rerun::{EncodedImage, RecordingStream, Scalars, SeriesLines, TextDocument};

use super::{Destination, VizError};
use rehearse_world_model::ModelError;

/// JPEG quality of images in a recording, out of 100: small, and no visible loss.
const JPEG_QUALITY: u8 = 92;

/// Sends one episode of a log as a recording.
///
/// Entities: `camera/<name>`, `state/<channel>`, `action/<channel>`, `success`, `chunk` (frames of
/// the chunk that the action-guided partition with fraction `alpha` puts the frame in) and
/// `about`.
///
/// # Errors
/// [`VizError`] if the log cannot be read or the recording cannot be written.
pub fn send_log_episode(
    log: &RobotLog,
    episode: usize,
    alpha: f64,
    destination: &Destination,
) -> Result<(), VizError> {
    let meta = log.episode(episode)?;
    let table = log.table(episode)?;
    let embodiment = log.embodiment();
    let stream = destination.open(&format!("episode {episode}"), layout(embodiment))?;

    let result = meta.result.as_ref().map_or_else(String::new, |row| {
        format!(
            "\n\n| task | policy | success | split |\n|---|---|---|---|\n| {} | {} | {} | {} |",
            row.task,
            row.policy,
            row.success,
            row.split.as_deref().unwrap_or("")
        )
    });
    let about = format!(
        "# Episode {episode}\n\n{}\n\n{} frames at {}{result}",
        meta.instruction(),
        meta.length,
        embodiment.rate,
    );
    stream.log_static("about", &TextDocument::from_markdown(about))?;
    name_lines(&stream, "state", &embodiment.proprioception)?;
    name_lines(&stream, "action", &embodiment.actions)?;

    let chunks = chunks(embodiment, &table, alpha)?;
    for (frame, &seconds) in table.timestamps.iter().enumerate() {
        stream.set_time_sequence("frame", frame as i64);
        stream.set_duration_secs("time", seconds);
        stream.log("state", &row(&table.state, frame))?;
        stream.log("action", &row(&table.action, frame))?;
        if let Some(success) = &table.success {
            stream.log("success", &Scalars::single(f64::from(u8::from(success[frame]))))?;
        }
        if let Some(chunk) = chunk_of(&chunks, frame) {
            stream.log("chunk", &Scalars::single(chunk.frames as f64))?;
        }
    }
    for camera in &embodiment.cameras {
        let frames = log.frames(episode, &camera.name, 0..meta.length)?;
        for (frame, (image, &seconds)) in frames.zip(&table.timestamps).enumerate() {
            stream.set_time_sequence("frame", frame as i64);
            stream.set_duration_secs("time", seconds);
            let jpeg = compress(&image?)
                .map_err(|source| VizError::Compress { camera: camera.name.clone(), source })?;
            let encoded = EncodedImage::from_file_contents(jpeg).with_media_type("image/jpeg");
            stream.log(format!("camera/{}", camera.name), &encoded)?;
        }
    }
    stream.flush_blocking()?;
    Ok(())
}

/// Cameras on top, the numbers below them, the text at the side.
fn layout(embodiment: &Embodiment) -> Blueprint {
    let cameras: Vec<ContainerLike> = embodiment
        .cameras
        .iter()
        .map(|camera| {
            Spatial2DView::new(&camera.name).with_origin(format!("camera/{}", camera.name)).into()
        })
        .collect();
    let numbers = ["state", "action", "success", "chunk"]
        .map(|entity| TimeSeriesView::new(entity).with_origin(entity).into());
    let left = Vertical::new(
        (!cameras.is_empty()).then(|| Horizontal::new(cameras).into()).into_iter().chain(numbers),
    )
    .with_row_shares(vec![3.0, 1.5, 1.5, 0.7, 0.7]);
    let about = TextDocumentView::new("about").with_origin("about");
    Blueprint::new(Horizontal::new([left.into(), about.into()]).with_column_shares(vec![3.0, 1.0]))
}

/// Cuts the episode as the world model does: by the hand's motion and the gripper's state, which is
/// whether its command lies above the middle of its range.
fn chunks(
    embodiment: &Embodiment,
    table: &EpisodeTable,
    alpha: f64,
) -> Result<Vec<Chunk>, ModelError> {
    let motion = motion_channels(embodiment);
    let positions: Vec<f32> = table
        .state
        .rows()
        .into_iter()
        .flat_map(|state| motion.iter().map(move |&channel| state[channel]))
        .collect();
    let mut gripper = vec![0_u64; table.frames()];
    for (bit, channel) in embodiment.gripper_actions().into_iter().enumerate() {
        let commands = table.action.column(channel);
        let [low, high] = embodiment.actions[channel].bounds.unwrap_or_else(|| {
            commands.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &command| {
                [low.min(f64::from(command)), high.max(f64::from(command))]
            })
        });
        for (state, &command) in gripper.iter_mut().zip(commands) {
            *state |= u64::from(f64::from(command) > 0.5 * (low + high)) << (bit % 64);
        }
    }
    let motion = Motion { positions: &positions, dimensions: motion.len(), gripper: &gripper };
    partition(motion, alpha)
}

pub(super) fn name_lines(
    stream: &RecordingStream,
    entity: &str,
    channels: &[Channel],
) -> Result<(), VizError> {
    let names = channels.iter().map(|channel| channel.name.as_str());
    Ok(stream.log_static(entity, &SeriesLines::new().with_names(names))?)
}

pub(super) fn row(values: &Array2<f32>, frame: usize) -> Scalars {
    Scalars::new(values.row(frame).iter().map(|&value| f64::from(value)))
}

fn chunk_of(chunks: &[Chunk], frame: usize) -> Option<&Chunk> {
    chunks.iter().find(|chunk| (chunk.start..chunk.start + chunk.frames).contains(&frame))
}

pub(super) fn compress(image: &Image) -> Result<Vec<u8>, image::ImageError> {
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).write_image(
        image.pixels(),
        image.width(),
        image.height(),
        ExtendedColorType::Rgb8,
    )?;
    Ok(bytes.into_inner())
}
