//! Reading and writing the small files of a dataset.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::error::{LogError, Place};

/// The largest JSON, JSON lines or CSV file that is read, in bytes.
pub(super) const MAX_TEXT_BYTES: u64 = 1 << 29;

/// Reads a text file, at most [`MAX_TEXT_BYTES`] of it.
pub(super) fn read_text(path: &Path) -> Result<String, LogError> {
    let place = || Place::file(path);
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => place().missing(),
        _ => place().io("read")(error),
    })?;
    let bytes = file.metadata().map_err(place().io("read"))?.len();
    if bytes > MAX_TEXT_BYTES {
        return Err(place().too_large("a text file", MAX_TEXT_BYTES, bytes));
    }
    let mut text = String::new();
    file.take(MAX_TEXT_BYTES).read_to_string(&mut text).map_err(place().io("read"))?;
    Ok(text)
}

/// Writes a file so that it is either there, whole and on disk, or not there.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), LogError> {
    let place = || Place::file(path);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(place().io("create the folder of the file"))?;
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut file = File::create(&partial).map_err(place().io("write"))?;
    file.write_all(bytes).map_err(place().io("write"))?;
    file.sync_all().map_err(place().io("write"))?;
    std::fs::rename(&partial, path).map_err(place().io("rename"))
}
