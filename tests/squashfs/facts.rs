//! What a reader sees of a tree: all but what formats may choose for themselves.

use rustix::fs as sys;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// One name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    pub path: Vec<u8>,
    /// Kind and contents.
    pub detail: String,
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: i64,
    pub links: u64,
    /// The first name of the same inode.
    pub first: Vec<u8>,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// All names of a tree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(BTreeMap<Vec<u8>, Fact>);

impl Facts {
    pub fn add(&mut self, mut fact: Fact) {
        // The mode of a link is everybody's.
        if fact.detail.starts_with("link") {
            fact.mode = 0;
        }
        self.0.insert(fact.path.clone(), fact);
    }

    /// Reads a tree on a disk.
    pub fn of(root: &Path) -> Facts {
        let mut facts = Facts::default();
        let mut names = vec![Vec::new()];
        let mut next = 0;
        while next < names.len() {
            let dir = root.join(std::ffi::OsStr::from_bytes(&names[next]));
            if dir.symlink_metadata().unwrap().is_dir() {
                for entry in fs::read_dir(&dir).unwrap() {
                    let name = entry.unwrap().file_name();
                    let path = match names[next].is_empty() {
                        true => name.as_bytes().to_vec(),
                        false => [&names[next], &b"/"[..], name.as_bytes()].concat(),
                    };
                    names.push(path);
                }
            }
            next += 1;
        }
        names.sort_by(|a, b| liveroot::builder::source::compare(a, b));
        let mut first: HashMap<u64, Vec<u8>> = HashMap::new();
        for name in names {
            let path = match name.is_empty() {
                true => root.to_owned(),
                false => root.join(std::ffi::OsStr::from_bytes(&name)),
            };
            let meta = path.symlink_metadata().unwrap();
            let first = first.entry(meta.ino()).or_insert_with(|| name.clone());
            facts.add(Fact {
                detail: detail(&path, &meta),
                mode: meta.mode() & 0o7777,
                owner: (meta.uid(), meta.gid()),
                mtime: meta.mtime(),
                links: meta.nlink(),
                first: first.clone(),
                xattrs: xattrs(&path),
                path: name,
            });
        }
        facts
    }

    /// As mksquashfs sees it: each name of a symbolic link is one of its own.
    pub fn with_lone_symlinks(&self) -> Facts {
        let mut facts = self.clone();
        for fact in facts
            .0
            .values_mut()
            .filter(|f| f.detail.starts_with("link"))
        {
            fact.links = 1;
            fact.first = fact.path.clone();
        }
        facts
    }

    /// Panics with the first difference.
    #[track_caller]
    pub fn assert_same(&self, other: &Facts, who: &str) {
        for (path, fact) in &self.0 {
            let seen = other.0.get(path);
            assert!(seen == Some(fact), "{who}:\nwant {fact:?}\nseen {seen:?}");
        }
        assert_eq!(self.0.len(), other.0.len(), "{who}: more names");
    }
}

pub fn digest(bytes: &mut dyn Read) -> String {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match bytes.read(&mut buffer).unwrap() {
            0 => break,
            n => hasher.update(&buffer[..n]),
        }
    }
    let hex = hasher.finalize();
    hex.iter().take(8).map(|b| format!("{b:02x}")).collect()
}

fn detail(path: &Path, meta: &fs::Metadata) -> String {
    let kind = meta.file_type();
    let number = format!("{}:{}", sys::major(meta.rdev()), sys::minor(meta.rdev()));
    if kind.is_dir() {
        "directory".into()
    } else if kind.is_symlink() {
        let target = fs::read_link(path).unwrap();
        assert_eq!(meta.len(), target.as_os_str().len() as u64);
        format!("link to {:?}", target.as_os_str().as_bytes())
    } else if kind.is_char_device() {
        format!("char {number}")
    } else if kind.is_block_device() {
        format!("block {number}")
    } else if kind.is_fifo() {
        "fifo".into()
    } else if kind.is_socket() {
        "socket".into()
    } else {
        let mut file = fs::File::open(path).unwrap();
        format!("file {} {}", meta.len(), digest(&mut file))
    }
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; 1 << 16];
    let length = match sys::llistxattr(path, &mut names[..]) {
        // An image without any.
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        length => length.unwrap(),
    };
    let names = names[..length].split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    let read = |name: &[u8]| {
        let mut value = vec![0; 1 << 16];
        let length = sys::lgetxattr(path, std::str::from_utf8(name).unwrap(), &mut value[..]);
        value.truncate(length.unwrap());
        (name.to_vec(), value)
    };
    names.map(read).collect()
}
