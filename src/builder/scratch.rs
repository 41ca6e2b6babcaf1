//! The build's scratch directory: beside the output, so that the finished file can be
//! renamed into place, and gone whatever happens.

use super::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A directory that is removed with all it holds when this value goes.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Makes one beside `output`.
    pub fn beside(output: &Path) -> Result<Scratch> {
        let parent = match output.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let parent = parent.canonicalize().map_err(|cause| {
            Error::input(
                parent.display(),
                format!("the output's directory cannot be used: {cause}"),
                "make it, or name another output with -o",
            )
        })?;
        for n in 0..1000u32 {
            let dir = parent.join(format!(".liveroot-{}-{n}", std::process::id()));
            match fs::create_dir(&dir) {
                Ok(()) => return Ok(Scratch { dir }),
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(e) => {
                    return Err(Error::input(
                        parent.display(),
                        format!("the output's directory cannot be written: {e}"),
                        "name an output elsewhere with -o",
                    ));
                }
            }
        }
        Err(Error::input(
            parent.display(),
            "it is full of scratch directories .liveroot-*",
            "remove them",
        ))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the build's own result matters more.
        let _ = fs::remove_dir_all(&self.dir);
    }
}
