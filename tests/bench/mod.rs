//! A workbench for tests of `liveroot build`: a small invented tree that builds, an agent, a
//! place for output.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub const RELEASE: &str = "6.1.0-9-test";
pub const MIB: u64 = 1 << 20;

/// A scratch directory with a tree that builds, an agent, and a place for output.
pub struct Bench {
    pub dir: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Bench {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
        };
        let root = bench.tree();
        fs::create_dir_all(root.join(format!("usr/lib/modules/{RELEASE}/kernel/fs"))).unwrap();
        for dir in ["usr/sbin", "boot", "etc", "proc"] {
            fs::create_dir_all(root.join(dir)).unwrap();
        }
        write(&root.join("usr/sbin/init"), "#!/bin/sh\n");
        write(
            &root.join("etc/os-release"),
            "ID=test\nVERSION_ID=1\nPRETTY_NAME=\"Test 1\"\n",
        );
        write(
            &root.join(format!("boot/vmlinuz-{RELEASE}")),
            kernel(RELEASE, 5000),
        );
        write(
            &root.join(format!("boot/initrd.img-{RELEASE}")),
            "the old initramfs",
        );
        let modules = root.join(format!("usr/lib/modules/{RELEASE}"));
        write(
            &modules.join("modules.dep"),
            "kernel/fs/vfat.ko: kernel/fs/fat.ko\nkernel/fs/fat.ko:\n",
        );
        write(&modules.join("modules.alias"), "alias fs-vfat vfat\n");
        write(&modules.join("modules.builtin.modinfo"), BUILTIN);
        write(&modules.join("kernel/fs/vfat.ko"), elf("vfat"));
        write(&modules.join("kernel/fs/fat.ko"), elf("fat"));
        write(
            &bench.agent(),
            elf(&format!(
                "liveroot-init mark {}\n",
                env!("CARGO_PKG_VERSION")
            )),
        );
        fs::create_dir(bench.out()).unwrap();
        bench
    }

    pub fn tree(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    pub fn agent(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    pub fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    pub fn iso(&self) -> PathBuf {
        self.out().join("live.iso")
    }

    /// The command without options of the test's own.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_liveroot"));
        command
            .arg("build")
            .arg(self.tree())
            .arg("-o")
            .arg(self.iso());
        command.arg("--agent").arg(self.agent());
        command
    }

    /// Runs the command, which must fail with this exit code, these words and no output.
    #[track_caller]
    pub fn refused(&self, command: &mut Command, code: i32, words: &[&str]) {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        for word in words {
            assert!(text.contains(word), "{word:?} is not in: {text}");
        }
        assert!(output.stdout.is_empty());
        self.assert_nothing_left();
    }

    #[track_caller]
    pub fn assert_nothing_left(&self) {
        let left: Vec<_> = fs::read_dir(self.out())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

const BUILTIN: &[u8] = b"loop.alias=devname:loop-control\0squashfs.alias=fs-squashfs\0\
                         overlay.alias=fs-overlay\0isofs.alias=fs-iso9660\0";

pub fn write(path: &Path, bytes: impl AsRef<[u8]>) {
    fs::write(path, bytes).unwrap();
}

/// The head of a kernel image (`Documentation/arch/x86/boot.rst`) and zeros.
pub fn kernel(release: &str, len: usize) -> Vec<u8> {
    let mut image = vec![0; len];
    image[..2].copy_from_slice(b"MZ");
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x100u16.to_le_bytes());
    let text = format!("{release} (test@test) #1");
    image[0x300..0x300 + text.len()].copy_from_slice(text.as_bytes());
    image
}

/// A static x86-64 program without segments and sections, and a text behind its header.
pub fn elf(text: &str) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    bytes[16] = 2;
    bytes[18] = 62;
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// Whether a test can run; says what it lacks otherwise.
pub fn have(what: &str, available: bool) -> bool {
    if !available {
        assert!(
            std::env::var_os("LIVEROOT_STRICT").is_none(),
            "missing: {what}"
        );
        eprintln!("skipped: missing {what}");
    }
    available
}

pub fn have_tools(more: &[&str]) -> bool {
    let tools = [
        "mksquashfs",
        "xorriso",
        "objcopy",
        "mkfs.fat",
        "mmd",
        "mcopy",
    ];
    tools.iter().chain(more).all(|tool| {
        let found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"];
        have(
            tool,
            found.iter().any(|dir| Path::new(dir).join(tool).exists()),
        )
    })
}

pub fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0)
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Output of a tool that must succeed.
#[track_caller]
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program}: {}", text(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Names and contents of the archive that holds a file of this name: each archive's first
/// entry has the inode number 1.
pub fn archive_with(iso: &[u8], name: &str) -> Vec<(String, Vec<u8>)> {
    let mut from = 0;
    while let Some(at) = find(&iso[from..], b"07070100000001") {
        from += at + 1;
        let Ok((entries, _)) = liveroot::ondisk::cpio::read(&iso[from - 1..]) else {
            continue;
        };
        if entries.iter().any(|e| e.name.ends_with(name)) {
            return entries
                .into_iter()
                .map(|e| (e.name, e.data.to_vec()))
                .collect();
        }
    }
    panic!("no archive has {name}");
}

/// The archive that an initramfs holds compressed: agent, index files, dictionary.
pub fn core_archive(iso: &[u8]) -> Vec<u8> {
    const FRAME: &[u8] = b"\x28\xb5\x2f\xfd";
    let mut from = 0;
    while let Some(at) = find(&iso[from..], FRAME) {
        from += at + 1;
        let rest = &iso[from - 1..];
        // Blocks of the payload are frames too.
        let Ok(len) = zstd_safe::find_frame_compressed_size(rest) else {
            continue;
        };
        let size = zstd_safe::get_frame_content_size(&rest[..len]);
        let mut out = Vec::with_capacity(size.ok().flatten().unwrap_or(0) as usize);
        let unpacked = zstd_safe::decompress(&mut out, &rest[..len]);
        if unpacked.is_ok() && out.starts_with(b"070701") {
            return out;
        }
    }
    panic!("no compressed archive");
}
