//! A folder that appears under its name only once it is whole.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{LogError, Place};

/// The hidden folder that becomes the dataset. Removed when dropped, unless it was renamed.
#[derive(Debug)]
pub(super) struct PartialFolder {
    path: PathBuf,
    renamed: bool,
}

impl PartialFolder {
    /// A hidden folder beside `target`, which must not exist yet or be empty.
    pub(super) fn create(target: &Path) -> Result<Self, LogError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let place = || Place::file(target);
        match std::fs::read_dir(target) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(place().invalid("the folder is there already, and not empty"));
                }
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(place().io("read")(error)),
        }
        let name = target.file_name().ok_or_else(|| place().invalid("the folder has no name"))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let hidden = format!(".{}.{}-{number}.partial", name.to_string_lossy(), std::process::id());
        let path = target.with_file_name(hidden);
        std::fs::create_dir_all(&path).map_err(Place::file(&path).io("create"))?;
        Ok(Self { path, renamed: false })
    }

    /// The folder, for now.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name.
    pub(super) fn rename(mut self, target: &Path) -> Result<(), LogError> {
        std::fs::rename(&self.path, target).map_err(Place::file(target).io("rename"))?;
        self.renamed = true;
        Ok(())
    }
}

impl Drop for PartialFolder {
    fn drop(&mut self) {
        if !self.renamed {
            // If it cannot be removed, its name tells what it is.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}
