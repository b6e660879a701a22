//! Positioned reads of one file by many threads.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::VideoError;

/// An open file that any number of threads read at once.
#[derive(Debug)]
pub(super) struct SharedFile {
    path: PathBuf,
    len: u64,
    #[cfg(unix)]
    file: File,
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
}

impl SharedFile {
    pub(super) fn open(path: &Path) -> Result<Self, VideoError> {
        let failed = |source| VideoError::Io { action: "open", path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        #[cfg(not(unix))]
        let file = std::sync::Mutex::new(file);
        Ok(Self { path: path.to_owned(), len: metadata.len(), file })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Length in bytes when it was opened.
    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// The `len` bytes at `offset`. `what` names them in the error if they pass the end.
    pub(super) fn read(
        &self,
        offset: u64,
        len: usize,
        what: impl FnOnce() -> String,
    ) -> Result<Vec<u8>, VideoError> {
        let needed = offset.saturating_add(len as u64);
        if needed > self.len {
            let path = self.path.clone();
            return Err(VideoError::Truncated { what: what(), needed, len: self.len, path });
        }
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, offset).map_err(|source| VideoError::Io {
            action: "read",
            path: self.path.clone(),
            source,
        })?;
        Ok(bytes)
    }

    #[cfg(unix)]
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    #[cfg(not(unix))]
    fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        use std::io::{Read as _, Seek as _, SeekFrom};

        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}
