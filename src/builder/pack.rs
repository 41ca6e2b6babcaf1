//! `liveroot pack`: a tree as one squashfs in a file of its own, as mksquashfs makes it.

use super::scratch::Scratch;
use super::source::dir::Directory;
use super::source::tar::Tar;
use super::source::{Owners, Source};
use super::squashfs::{self, Written};
use super::{Error, Result, Watch, survey};
use std::fs::File;
use std::path::Path;

/// Writes the image of `tree`, a directory or a tar archive (`-` is standard input), to `output`, which appears only when it is complete.
/// `options.epoch` is set from SOURCE_DATE_EPOCH's value, or else the tree's newest file.
///
/// # Errors
/// What cannot be read; what the format cannot hold; no space; a signal. Nothing is left then.
pub fn pack(
    tree: &Path,
    owners: Owners,
    mut options: squashfs::Options,
    source_date_epoch: Option<&str>,
    output: &Path,
    watch: &dyn Watch,
) -> Result<Written> {
    watch.phase("reading the tree");
    super::check_output(output, tree)?;
    let directory = match tree.is_dir() {
        true => Some(Directory::read(tree, owners, watch)?),
        false => None,
    };
    let scratch = Scratch::beside(output)?;
    let source: Box<dyn Source + Send> = match directory {
        Some(directory) => Box::new(directory),
        None => Box::new(Tar::read(tree, owners, scratch.dir(), watch)?),
    };
    let survey = survey::survey(&*source)?;
    options.epoch = survey::epoch(source_date_epoch, survey.newest)?;
    let image = scratch.path("squashfs.img");
    let file = File::create_new(&image).map_err(Error::system("making", &image))?;
    watch.phase("payload");
    let written = squashfs::write(&*source, &options, &file, 0, watch)?;
    watch.phase("storing");
    super::publish(&image, output, watch)?;
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::super::watch::Silent;
    use super::*;

    /// A watch that stops the build when the payload is begun.
    #[derive(Default)]
    struct Stop(std::sync::atomic::AtomicBool);

    impl Watch for Stop {
        fn phase(&self, what: &str) {
            let is_payload = what == "payload";
            self.0
                .store(is_payload, std::sync::atomic::Ordering::Relaxed);
        }
        fn percent(&self, _: u8) {}
        fn warn(&self, _: &str) {}
        fn cancelled(&self) -> bool {
            self.0.load(std::sync::atomic::Ordering::Relaxed)
        }
    }

    fn stopped(tree: &Path, image: &Path) -> Result<Written> {
        let options = squashfs::Options::default();
        pack(tree, Owners::Kept, options, None, image, &Stop::default())
    }

    #[test]
    fn a_failed_pack_leaves_the_earlier_file_and_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, out) = (dir.path().join("tree"), dir.path().join("out"));
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::create_dir_all(&out).unwrap();
        std::fs::write(tree.join("file"), "as listed").unwrap();
        let image = out.join("a.img");
        let names = || std::fs::read_dir(&out).unwrap().count();
        let run = |epoch| {
            let options = squashfs::Options::default();
            pack(&tree, Owners::Kept, options, epoch, &image, &Silent)
        };

        let written = run(Some("1700000000")).unwrap();
        let bytes = std::fs::read(&image).unwrap();
        assert_eq!((bytes.len() as u64, names()), (written.length.0, 1));

        assert!(matches!(stopped(&tree, &image), Err(Error::Interrupted)));
        let is_as_it_was = std::fs::read(&image).unwrap() == bytes;
        assert!(is_as_it_was && names() == 1);
    }

    #[test]
    fn an_output_in_the_tree_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let options = squashfs::Options::default();
        let image = dir.path().join("a.img");
        let done = pack(dir.path(), Owners::Kept, options, None, &image, &Silent);
        let said = done.unwrap_err().to_string();
        assert!(said.contains("it lies in the tree"), "{said}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
