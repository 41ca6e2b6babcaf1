//! What goes into an image: a directory and the tar of it give the same listing and the same
//! bytes, whichever program and format made the tar; hostile archives are refused by name.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bench;
#[path = "inputs/fuzz.rs"]
mod fuzz;
#[path = "inputs/hostile.rs"]
mod hostile;
#[path = "inputs/invariants.rs"]
mod invariants;
#[path = "inputs/maker.rs"]
mod maker;
#[path = "inputs/tree.rs"]
mod tree;

use bench::{have, is_root};
use liveroot::builder::source::dir::Directory;
use liveroot::builder::source::tar::Tar;
use liveroot::builder::source::{Kind, Listing, Owners, Source, read_error};
use liveroot::builder::{Error, Watch};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;

/// Remembers warnings.
#[derive(Default)]
struct Ear(Mutex<Vec<String>>);

impl Watch for Ear {
    fn phase(&self, _: &str) {}
    fn percent(&self, _: u8) {}
    fn warn(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn cancelled(&self) -> bool {
        false
    }
}

fn read_dir(root: &Path) -> Directory {
    Directory::read(root, Owners::Kept, &Ear::default()).unwrap()
}

fn read_tar(file: &Path) -> Result<Tar, Error> {
    Tar::read(file, Owners::Kept, file.parent().unwrap(), &Ear::default())
}

fn contents(source: &dyn Source, inode: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = source.open(inode).unwrap().read_to_end(&mut bytes);
    read.map_err(|cause| read_error(source, inode, cause))
        .unwrap();
    bytes
}

/// Inode by inode, for a message that can be read.
#[track_caller]
fn assert_same(one: &dyn Source, two: &dyn Source, what: &str) {
    let (a, b): (&Listing, &Listing) = (one.listing(), two.listing());
    for (n, m) in a.names.iter().zip(&b.names) {
        assert_eq!(
            (String::from_utf8_lossy(&n.path), n.inode),
            (String::from_utf8_lossy(&m.path), m.inode),
            "{what}"
        );
        let path = String::from_utf8_lossy(&n.path);
        assert_eq!(a.inodes[n.inode], b.inodes[m.inode], "{what}: {path}");
    }
    assert_eq!(a, b, "{what}");
    for (n, inode) in a.inodes.iter().enumerate() {
        if let Kind::File { size } = inode.kind {
            let (one, two) = (contents(one, n), contents(two, n));
            assert_eq!(one.len() as u64, size, "{what}");
            assert!(
                one == two,
                "{what}: {}",
                String::from_utf8_lossy(&a.names[n].path)
            );
        }
    }
}

/// Runs tar in the tree; whether it could.
fn tar(program: &str, tree: &Path, words: &[&str], to: &Path) -> bool {
    let mut command = Command::new(program);
    command
        .arg("-cf")
        .arg(to)
        .args(words)
        .arg("-C")
        .arg(tree)
        .arg(".");
    let output = command.env("TZ", "Asia/Kathmandu").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // A socket is no file to tar; the tree has none, so any word is a failure.
    assert!(output.status.success(), "{program} {words:?}: {said}");
    true
}

#[test]
fn a_tar_of_a_directory_in_every_format_is_the_directory() {
    if !have("root, for owners and devices", is_root()) || !have("tar", found("tar")) {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = dir.path().join("tree");
    tree::make(&root);
    let file = dir.path().join("tree.tar");
    let attributes = ["--xattrs", "--xattrs-include=*", "--acls", "--selinux"];
    let source = read_dir(&root);
    for sparse in [
        &["--sparse", "--sparse-version=0.0"][..],
        &["--sparse", "--sparse-version=0.1"],
        &["--sparse", "--sparse-version=1.0"],
        &[],
    ] {
        let words = [&["--format=pax", "--sort=name"], &attributes[..], sparse].concat();
        tar("tar", &root, &words, &file);
        assert_same(&source, &read_tar(&file).unwrap(), &format!("{words:?}"));
    }
    // The other formats have no attributes, ustar and v7 no long names and no sparse files.
    tree::strip_attributes(&root);
    let source = read_dir(&root);
    for words in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=oldgnu", "--sparse"],
    ] {
        tar("tar", &root, words, &file);
        assert_same(&source, &read_tar(&file).unwrap(), &format!("{words:?}"));
    }
    tree::strip_what_is_long(&root);
    let source = read_dir(&root);
    for words in [&["--format=ustar"][..], &["--format=posix"]] {
        tar("tar", &root, words, &file);
        assert_same(&source, &read_tar(&file).unwrap(), &format!("{words:?}"));
    }
    tree::strip_devices(&root);
    let source = read_dir(&root);
    tar("tar", &root, &["--format=v7", "--hard-dereference"], &file);
    let v7 = read_tar(&file).unwrap();
    assert_eq!(source.listing().names.len(), v7.listing().names.len());
}

#[test]
fn attributes_that_tars_escape_have_their_own_names() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = dir.path().join("tree");
    std::fs::create_dir(&root).unwrap();
    let file = root.join("f");
    std::fs::write(&file, "f").unwrap();
    for name in [
        "user.a=b%c",
        "user.%3D%25",
        "user.%41",
        "user.a b",
        "user.ö",
    ] {
        let set = rustix::fs::lsetxattr(&file, name, b"=%", rustix::fs::XattrFlags::empty());
        if !have("a file system with attributes", set.is_ok()) {
            return;
        }
    }
    let archive = dir.path().join("tree.tar");
    let attributes = ["--xattrs", "--xattrs-include=*"];
    tar("tar", &root, &attributes, &archive);
    let read = read_tar(&archive).unwrap();
    assert_same(&read_dir(&root), &read, "escapes");
    assert_eq!(read.listing().inodes[1].xattrs.len(), 5);
    if have("bsdtar", found("bsdtar")) {
        tar("bsdtar", &root, &["--format=pax", "--xattrs"], &archive);
        assert_same(&read_dir(&root), &read_tar(&archive).unwrap(), "bsdtar");
    }
}

/// Archives with names that stand again are as GNU tar extracts them.
#[test]
fn of_a_name_that_is_appended_again_the_last_counts() {
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("tree.tar");
    let run = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-ec", script]).current_dir(dir.path());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {said}");
    };
    run("mkdir -p tree/dir tree/empty && cd tree
         echo old >file; ln file other; echo old >dir/in; ln -s old link; mkfifo pipe
         echo was >becomes-dir; ln -s was becomes-file
         tar -cf ../tree.tar .");
    run(
        "cd tree; rm file link pipe becomes-dir becomes-file; rmdir empty
         echo newer >file; ln file third; ln -s newer link; echo f >pipe; chmod 600 pipe
         mkdir becomes-dir; echo in >becomes-dir/in; echo f >becomes-file; echo now >empty
         tar -rf ../tree.tar file third link pipe becomes-dir becomes-file empty",
    );
    // Once more, by tar -u, with a link in place of a file.
    run("cd tree; rm pipe; ln dir/in pipe; touch -d '+1 hour' dir/in
         tar -uf ../tree.tar dir/in pipe");
    run("mkdir out && tar -xpf tree.tar -C out");
    let read = read_tar(&archive).unwrap();
    assert_same(&read_dir(&dir.path().join("out")), &read, "appended");
    let inode = |path: &str| {
        let listing = read.listing();
        listing.names[listing.find(path.as_bytes()).unwrap()].inode
    };
    assert_eq!(contents(&read, inode("file")), b"newer\n");
    assert_eq!(contents(&read, inode("other")), b"old\n");
    assert_eq!(inode("file"), inode("third"));
    assert_eq!(inode("pipe"), inode("dir/in"));
}

/// Gives up after so many looks.
struct Impatient(std::sync::atomic::AtomicUsize);

impl Watch for Impatient {
    fn phase(&self, _: &str) {}
    fn percent(&self, _: u8) {}
    fn warn(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= 20
    }
}

#[test]
fn a_build_is_given_up_while_little_unpacks_to_much() {
    if !have("gzip", found("gzip")) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.tar.gz");
    let script = "truncate -s 64M zeros && tar -c zeros | gzip -1 >t.tar.gz && rm zeros";
    let mut command = Command::new("sh");
    command.args(["-ec", script]).current_dir(dir.path());
    assert!(command.status().unwrap().success());
    let watch = Impatient(0.into());
    let given_up = Tar::read(&file, Owners::Kept, dir.path(), &watch);
    assert!(matches!(given_up, Err(Error::Interrupted)), "{given_up:?}");
    // One that is read on looks once for each chunk of 256 KiB: 200 times and more.
    assert!(watch.0.into_inner() < 30);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn a_tar_of_libarchive_is_the_directory() {
    if !have("root, for owners and devices", is_root()) || !have("bsdtar", found("bsdtar")) {
        return;
    }
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = dir.path().join("tree");
    tree::make(&root);
    let file = dir.path().join("tree.tar");
    let source = read_dir(&root);
    tar("bsdtar", &root, &["--format=pax", "--xattrs"], &file);
    assert_same(&source, &read_tar(&file).unwrap(), "bsdtar");
}

#[test]
fn a_packed_archive_and_a_pipe_are_unpacked_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    tree::make_plain(&root);
    let file = dir.path().join("tree.tar");
    tar("tar", &root, &["--format=pax"], &file);
    let source = read_dir(&root);
    for (program, suffix) in [("gzip", "gz"), ("xz", "xz"), ("zstd", "zst")] {
        if !have(program, found(program)) {
            continue;
        }
        bench::run(program, &["-qk", file.to_str().unwrap()]);
        let packed = dir.path().join(format!("tree.tar.{suffix}"));
        // Told by what is in it, not by its name.
        let renamed = dir.path().join("archive");
        std::fs::rename(&packed, &renamed).unwrap();
        assert_same(&source, &read_tar(&renamed).unwrap(), program);
        let bytes = std::fs::read(&renamed).unwrap();
        std::fs::write(&renamed, &bytes[..bytes.len() - 9]).unwrap();
        let text = read_tar(&renamed).unwrap_err().to_string();
        assert!(text.contains("archive (at byte "), "{text}");
        assert!(text.contains("cannot be read on"), "{text}");
        std::fs::remove_file(&renamed).unwrap();
    }
    let mut names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
    assert_eq!(
        names.len(),
        2,
        "the tree and its tar: {:?}",
        names.drain(..)
    );
    // A pipe has no name and no length.
    let mut cat = Command::new("cat")
        .arg(&file)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pipe = cat.stdout.take().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&pipe));
    let read = Tar::read(Path::new(&path), Owners::Kept, dir.path(), &Ear::default());
    assert_same(&source, &read.unwrap(), "a pipe");
    drop(pipe);
    assert!(cat.wait().unwrap().success());
}

#[test]
fn access_lists_are_left_out_with_a_warning_that_counts_them() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let root = dir.path().join("tree");
    tree::make_plain(&root);
    if !have(
        "a file system with access lists",
        tree::set_access_list(&root.join("etc")),
    ) {
        return;
    }
    let ear = Ear::default();
    let source = Directory::read(&root, Owners::Kept, &ear).unwrap();
    let warned = ear.0.lock().unwrap().join("\n");
    assert!(warned.contains("1 files have access lists"), "{warned}");
    let file = dir.path().join("tree.tar");
    tar("tar", &root, &["--format=pax", "--acls"], &file);
    let ear = Ear::default();
    let tar = Tar::read(&file, Owners::Kept, dir.path(), &ear).unwrap();
    let warned = ear.0.lock().unwrap().join("\n");
    assert!(warned.contains("1 files have access lists"), "{warned}");
    assert_same(&source, &tar, "without access lists");
}

#[test]
fn all_root_makes_root_the_owner_in_both_forms() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    tree::make_plain(&root);
    let file = dir.path().join("tree.tar");
    tar("tar", &root, &["--owner=77", "--group=78"], &file);
    let ear = Ear::default();
    let tar = Tar::read(&file, Owners::Root, dir.path(), &ear).unwrap();
    let source = Directory::read(&root, Owners::Root, &ear).unwrap();
    assert_same(&source, &tar, "--all-root");
    assert!(
        source
            .listing()
            .inodes
            .iter()
            .all(|i| (i.uid, i.gid) == (0, 0))
    );
    let kept = read_tar(&file).unwrap();
    assert!(
        kept.listing()
            .inodes
            .iter()
            .all(|i| (i.uid, i.gid) == (77, 78))
    );
}

#[test]
fn an_archive_that_changes_while_it_is_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tree");
    tree::make_plain(&root);
    let file = dir.path().join("tree.tar");
    tar("tar", &root, &[], &file);
    let tar = read_tar(&file).unwrap();
    let is_file = |n: &usize| matches!(tar.listing().inodes[*n].kind, Kind::File { size: 1.. });
    let inode = (0..tar.listing().inodes.len()).find(is_file).unwrap();
    assert!(tar.describe(inode).contains("tree.tar: a-link"));
    assert!(tar.describe(inode).contains(" (at byte "));
    contents(&tar, inode);
    std::thread::park_timeout(std::time::Duration::from_millis(20));
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, bytes).unwrap();
    let text = match tar.open(inode) {
        Ok(_) => panic!("not noticed"),
        Err(error) => error.to_string(),
    };
    assert!(text.contains("tree.tar: it changed"), "{text}");
}

fn found(tool: &str) -> bool {
    let places = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
    places.iter().any(|dir| Path::new(dir).join(tool).exists())
}
