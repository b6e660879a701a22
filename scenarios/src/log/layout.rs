//! Where the files of a dataset are: the path templates of `info.json`.

use std::path::{Component, Path, PathBuf};

/// A path template, such as `data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet`.
///
/// It never leaves the dataset's folder, whatever is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathTemplate {
    source: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Number { slot: Slot, width: usize },
    VideoKey,
}

/// What a template's number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Chunk,
    File,
    Episode,
}

/// What is filled into a template.
#[derive(Clone, Copy, Debug)]
pub struct PathValues<'a> {
    /// `chunk_index` (v3.0) or `episode_chunk` (v2.1).
    pub chunk: u64,
    /// `file_index` (v3.0).
    pub file: u64,
    /// `episode_index` (v2.1).
    pub episode: u64,
    /// `video_key`: the camera's feature.
    pub video_key: &'a str,
}

/// The widest padding that a template may ask for.
const MAX_WIDTH: usize = 20;

impl PathTemplate {
    /// Parses a template and makes sure that it stays within the folder.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(source: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = source;
        while let Some(open) = rest.find('{') {
            let (text, after) = rest.split_at(open);
            push_text(&mut parts, text)?;
            let Some(close) = after.find('}') else {
                return Err("has a `{` without its `}`".to_owned());
            };
            parts.push(parse_field(&after[1..close])?);
            rest = &after[close + 1..];
        }
        push_text(&mut parts, rest)?;
        let template = Self { source: source.to_owned(), parts };
        template.fill(PathValues { chunk: 0, file: 0, episode: 0, video_key: "key" })?;
        Ok(template)
    }

    /// The template as it was written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The path of one file, relative to the dataset's folder.
    ///
    /// # Errors
    /// In words, if the path would leave the folder.
    pub fn fill(&self, values: PathValues<'_>) -> Result<PathBuf, String> {
        let mut path = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => path.push_str(text),
                Part::VideoKey => path.push_str(values.video_key),
                Part::Number { slot, width } => {
                    let number = match slot {
                        Slot::Chunk => values.chunk,
                        Slot::File => values.file,
                        Slot::Episode => values.episode,
                    };
                    let digits = format!("{number:0width$}");
                    path.push_str(&digits);
                }
            }
        }
        inside_folder(&path)
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), String> {
    if text.contains('}') {
        return Err("has a `}` without its `{`".to_owned());
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

fn parse_field(field: &str) -> Result<Part, String> {
    let (name, format) = field.split_once(':').unwrap_or((field, ""));
    let slot = match name {
        "video_key" if format.is_empty() => return Ok(Part::VideoKey),
        "chunk_index" | "episode_chunk" => Slot::Chunk,
        "file_index" => Slot::File,
        "episode_index" => Slot::Episode,
        _ => return Err(format!("has the unknown field {{{field}}}")),
    };
    let digits = format.strip_suffix('d').unwrap_or(format);
    let width = match digits {
        "" => 0,
        digits => match digits.parse::<usize>() {
            Ok(width) if width <= MAX_WIDTH && digits.starts_with('0') => width,
            _ => return Err(format!("has the unknown format {{{field}}}")),
        },
    };
    Ok(Part::Number { slot, width })
}

fn inside_folder(path: &str) -> Result<PathBuf, String> {
    // `\` and `:` separate on Windows, where the same dataset must mean the same files.
    let foreign = path.contains(['\\', '\0']) || path.contains(':');
    let path = Path::new(path);
    let normal = path.components().all(|part| matches!(part, Component::Normal(_)));
    if foreign || !normal || path.as_os_str().is_empty() {
        return Err("leaves the dataset's folder".to_owned());
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: PathValues<'static> =
        PathValues { chunk: 2, file: 1234, episode: 7, video_key: "observation.images.top" };

    #[test]
    fn the_templates_of_both_versions_are_filled() {
        let v30 = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4";
        assert_eq!(
            PathTemplate::parse(v30).unwrap().fill(VALUES).unwrap(),
            Path::new("videos/observation.images.top/chunk-002/file-1234.mp4")
        );
        let v21 = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet";
        assert_eq!(
            PathTemplate::parse(v21).unwrap().fill(VALUES).unwrap(),
            Path::new("data/chunk-002/episode_000007.parquet")
        );
    }

    #[test]
    fn templates_that_leave_the_folder_are_refused() {
        for template in [
            "../{file_index}.parquet",
            "/etc/{file_index}",
            "data/../../x",
            "data\\{file_index}",
            "C:{file_index}",
            "",
            "data/{file_index:0999999999d}",
            "data/{file_index",
            "data/file_index}",
            "data/{other}",
            "data/{file_index:>3}",
        ] {
            assert!(PathTemplate::parse(template).is_err(), "{template:?} was accepted");
        }
    }

    #[test]
    fn a_key_cannot_leave_the_folder_either() {
        let template = PathTemplate::parse("videos/{video_key}/x.mp4").unwrap();
        assert!(template.fill(PathValues { video_key: "..", ..VALUES }).is_err());
        let dotted = PathTemplate::parse("videos/.{video_key}/x.mp4").unwrap();
        assert!(dotted.fill(PathValues { video_key: ".", ..VALUES }).is_err());
    }
}
