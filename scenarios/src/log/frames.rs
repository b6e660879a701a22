//! The pictures of a log: any frame of any camera, or a stream of them.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use image::{ImageReader, Limits};

use super::episodes::EpisodeMeta;
use super::error::{LogError, Place};
use super::feature::{Dtype, Feature};
use super::parquet_file::Batches;
use super::robot_log::RobotLog;
use super::table::table_path;
use crate::embodiment::MAX_IMAGE_SIDE;
use crate::observation::{Image, Observation};
use crate::video::{FrameStream, VideoError, VideoReader};

/// About how large a picture in a table is, so that few of them are held at once.
const PICTURE_BYTES: usize = 1 << 17;

/// How far from its time a frame may lie, in frames.
const TOLERANCE_FRAMES: f64 = 0.5;

impl RobotLog {
    /// One frame of one camera, decoded; `camera` as in the embodiment, `frame` from the start of
    /// the episode.
    ///
    /// # Errors
    /// [`LogError`] if there is no such episode, camera or frame, the video is damaged, or the
    /// picture has another size than stated.
    pub fn frame(&self, episode: usize, camera: &str, frame: usize) -> Result<Image, LogError> {
        let mut frames = self.frames(episode, camera, frame..frame + 1)?;
        match &mut frames.source {
            // Random access, without decoding ahead.
            Source::Video { reader, first, .. } => {
                let image = reader.frame(*first).map_err(frames.check.video())?;
                frames.check.size(image)
            }
            Source::Table(_) | Source::Empty => {
                frames.next().unwrap_or_else(|| Err(frames.check.place.clone().missing()))
            }
        }
    }

    /// The frames `range` of one camera in order, decoded ahead on all cores in bounded memory.
    ///
    /// # Errors
    /// As [`frame`](Self::frame), now or with the frame that is at fault.
    pub fn frames(
        &self,
        episode: usize,
        camera: &str,
        range: Range<usize>,
    ) -> Result<Frames, LogError> {
        let episode = self.episode(episode)?;
        let (feature, video) = self.camera_feature(camera)?;
        if range.end > episode.length || range.start > range.end {
            return Err(LogError::NoFrame {
                place: Box::new(Place::file(self.folder()).episode(episode.index)),
                frame: range.end.saturating_sub(1),
                frames: episode.length,
            });
        }
        if range.is_empty() {
            let place = Place::file(self.folder()).episode(episode.index).field(&feature.name);
            return Ok(Frames { check: FrameCheck::new(feature, place), source: Source::Empty });
        }
        if feature.dtype == Dtype::Video {
            self.video_frames(episode, feature, video, &range)
        } else {
            self.table_frames(episode, feature, &range)
        }
    }

    /// What a policy would have seen at one frame: all cameras, proprioception, instruction, time.
    ///
    /// # Errors
    /// As [`frame`](Self::frame) and [`table`](Self::table).
    pub fn observation(&self, episode: usize, frame: usize) -> Result<Observation, LogError> {
        let table = self.table(episode)?;
        let mut images = BTreeMap::new();
        for camera in &self.embodiment().cameras {
            images.insert(camera.name.clone(), self.frame(episode, &camera.name, frame)?);
        }
        let meta = self.episode(episode)?;
        let no_frame = || LogError::NoFrame {
            place: Box::new(Place::file(self.folder()).episode(episode)),
            frame,
            frames: meta.length,
        };
        let task = table.task_index.get(frame).ok_or_else(no_frame)?;
        let instruction = self.tasks().get(*task).map_or(meta.instruction(), String::as_str);
        Ok(Observation {
            images,
            proprioception: table.state.row(frame).to_vec(),
            instruction: Arc::from(instruction),
            time: self.info().rate.time_of_step(frame as u64),
        })
    }

    /// A camera's feature, and its place among the video features.
    fn camera_feature(&self, camera: &str) -> Result<(&Feature, usize), LogError> {
        let mut video = 0;
        for feature in self.info().cameras() {
            if feature.camera_name() == camera || feature.name == camera {
                return Ok((feature, video));
            }
            video += usize::from(feature.dtype == Dtype::Video);
        }
        Err(LogError::NoCamera {
            folder: self.folder().to_owned(),
            camera: camera.to_owned(),
            cameras: self.info().cameras().map(|camera| camera.camera_name().to_owned()).collect(),
        })
    }

    /// Opens the video of an episode; `video` is the camera's place among the video features.
    pub(super) fn open_video(
        &self,
        episode: &EpisodeMeta,
        feature: &Feature,
        video: usize,
    ) -> Result<VideoReader, LogError> {
        let place = Place::file(self.folder()).episode(episode.index).field(&feature.name);
        let Some(span) = episode.location.videos.get(video) else { return Err(place.missing()) };
        let path = self.folder().join(&span.file);
        let place = Place { file: path.clone(), ..place };
        self.video_file(&path, || {
            if path.exists() {
                let place = Box::new(place);
                VideoReader::open(&path).map_err(|source| LogError::Video { place, source })
            } else {
                Err(place.missing())
            }
        })
    }

    fn video_frames(
        &self,
        episode: &EpisodeMeta,
        feature: &Feature,
        video: usize,
        range: &Range<usize>,
    ) -> Result<Frames, LogError> {
        let reader = self.open_video(episode, feature, video)?;
        let place = Place::file(reader.path()).episode(episode.index).field(&feature.name);
        let check = FrameCheck::new(feature, place);
        let from_secs = episode.location.videos.get(video).map_or(0.0, |span| span.from_secs);
        let rate = self.info().rate.as_hz();
        let index_of = |frame: usize| {
            reader
                .frame_at(from_secs + frame as f64 / rate, TOLERANCE_FRAMES / rate)
                .map_err(check.video())
        };
        let first = index_of(range.start)?;
        let last = index_of(range.end - 1)?;
        if last != first + range.len() - 1 {
            let expected = first + range.len() - 1;
            return Err(check.place.mismatch("frame of the video", expected, last));
        }
        Ok(Frames {
            check,
            source: Source::Video { reader, first, left: range.len(), stream: None },
        })
    }

    fn table_frames(
        &self,
        episode: &EpisodeMeta,
        feature: &Feature,
        range: &Range<usize>,
    ) -> Result<Frames, LogError> {
        let path = table_path(self.folder(), episode);
        let first = episode.location.rows.start;
        let rows = first + range.start as u64..first + range.end as u64;
        let place = Place::file(&path).episode(episode.index).field(&feature.name);
        let batches = self
            .table_file(&path)
            .and_then(|file| file.read(&[&feature.name], rows, PICTURE_BYTES))
            .map_err(|error| error.of_episode(episode.index))?;
        let source = Source::Table(TableImages { batches, batch: None, row: 0 });
        Ok(Frames { check: FrameCheck::new(feature, place), source })
    }
}

/// Frames of one camera in order; see [`RobotLog::frames`]. Ends after the first error.
pub struct Frames {
    check: FrameCheck,
    source: Source,
}

enum Source {
    Video { reader: VideoReader, first: usize, left: usize, stream: Option<FrameStream> },
    Table(TableImages),
    Empty,
}

impl Iterator for Frames {
    type Item = Result<Image, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        let check = &self.check;
        match &mut self.source {
            Source::Empty | Source::Video { left: 0, .. } => None,
            Source::Video { reader, first, left, stream } => {
                let stream = match stream {
                    Some(stream) => stream,
                    None => match reader.decode_range(*first..*first + *left) {
                        Ok(opened) => stream.insert(opened),
                        Err(error) => {
                            *left = 0;
                            return Some(Err(check.video()(error)));
                        }
                    },
                };
                let image = match stream.next() {
                    Some(image) => image.map_err(check.video()).and_then(|image| check.size(image)),
                    None => Err(check.place.clone().mismatch("frames left in the video", *left, 0)),
                };
                *left = if image.is_ok() { *left - 1 } else { 0 };
                Some(image)
            }
            Source::Table(images) => images.next(check),
        }
    }
}

/// What every frame of a camera must be.
struct FrameCheck {
    place: Place,
    size: Option<(u32, u32)>,
}

impl FrameCheck {
    fn new(feature: &Feature, place: Place) -> Self {
        Self { place, size: feature.image_size() }
    }

    fn size(&self, image: Image) -> Result<Image, LogError> {
        let got = (image.height(), image.width());
        match self.size {
            Some(size) if size != got => Err(self.place.clone().mismatch(
                "size of a picture",
                format!("{}×{}", size.0, size.1),
                format!("{}×{}", got.0, got.1),
            )),
            _ => Ok(image),
        }
    }

    fn video(&self) -> impl Fn(VideoError) -> LogError + use<> {
        let place = self.place.clone();
        move |source| LogError::Video { place: Box::new(place.clone()), source }
    }
}

/// Pictures that lie in the tables, as PNG or JPEG.
struct TableImages {
    batches: Batches,
    batch: Option<arrow::array::RecordBatch>,
    row: usize,
}

impl TableImages {
    fn next(&mut self, check: &FrameCheck) -> Option<Result<Image, LogError>> {
        loop {
            if let Some(batch) = &self.batch
                && self.row < batch.num_rows()
            {
                self.row += 1;
                let image = decode_cell(batch, self.row - 1, check);
                return Some(image.and_then(|image| check.size(image)));
            }
            match self.batches.next()? {
                Ok(batch) => {
                    self.batch = Some(batch);
                    self.row = 0;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// A cell `{bytes, path}`, as the Hugging Face `Image` feature is stored.
fn decode_cell(
    batch: &arrow::array::RecordBatch,
    row: usize,
    check: &FrameCheck,
) -> Result<Image, LogError> {
    let bytes = batch
        .column(0)
        .as_struct_opt()
        .and_then(|cells| cells.column_by_name("bytes"))
        .and_then(|column| column.as_binary_opt::<i32>())
        .filter(|bytes| !bytes.is_null(row))
        .map(|bytes| bytes.value(row))
        .ok_or_else(|| check.place.clone().invalid("the picture is not embedded in the table"))?;
    let decode = || {
        let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
        let mut limits = Limits::default();
        limits.max_image_width = Some(MAX_IMAGE_SIDE);
        limits.max_image_height = Some(MAX_IMAGE_SIDE);
        reader.limits(limits);
        Ok::<_, image::ImageError>(reader.decode()?.into_rgb8())
    };
    let picture = decode().map_err(|error| {
        check.place.clone().invalid(format!("the picture in row {row} is damaged: {error}"))
    })?;
    let (width, height) = picture.dimensions();
    Image::from_rgb(height, width, picture.into_raw())
        .map_err(|error| check.place.clone().invalid(error.to_string()))
}
