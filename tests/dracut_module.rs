//! The shell of our module of dracut, run by sh with stubs in place of dracut's functions; and
//! Ventoy's patches, restated, applied to it. The agent is the real one, but for its step.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const MODULE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dracut-module/55liveroot");

/// dracut-lib.sh as far as it is called (dracut 059): getcmdline has the line that Ventoy patches.
const DRACUT_LIB: &str = r#"
hookdir=@/hooks
NEWROOT=@/sysroot
getcmdline() {
    CMDLINE=$(cat @/proc/cmdline)
    printf "%s" "$CMDLINE"
}
getarg() {
    _key=${1%=}; _value=; _found=1
    for _word in $(getcmdline); do
        case $_word in "$_key="*) _value=${_word#*=}; _found=0 ;; "$_key") _value=; _found=0 ;; esac
    done
    printf %s "$_value"; return $_found
}
label_uuid_to_dev() {
    case $1 in
        LABEL=*) echo "/dev/disk/by-label/${1#LABEL=}" ;;
        *) echo "$1" ;;
    esac
}
str_replace() { printf %s "$1" | sed "s,$2,\\$3,g"; }
ismounted() { [ -e "@/mounted" ]; }
info() { :; }
warn() { echo "warn $*" >> @/log; }
mount() { echo "mount $*" >> @/log; }
umount() { echo "umount $*" >> @/log; }
emergency_shell() { echo "emergency_shell $*" >> @/log; }
"#;

/// Paths of an initramfs in our scripts, which are looked for below the test's directory instead.
const PATHS: [&str; 12] = [
    "/proc/mounts",
    "/proc/uptime",
    "/run/udev",
    "/lib/liveroot-lib.sh",
    "/lib/dracut-lib.sh",
    "/etc/udev/",
    "/run/liveroot",
    "/run/systemd",
    "/run/initramfs",
    "/sbin/create-overlay",
    "/dev/root",
    "/usr/bin/liveroot-init",
];

/// What reads the scripts: sh, or what the test of the other shell says.
fn shell() -> Command {
    let words = std::env::var("LIVEROOT_TEST_SHELL").unwrap_or_else(|_| "sh".to_owned());
    let mut words = words.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

/// Initramfs of dracut have dash, bash or busybox for a shell.
#[test]
fn busybox_and_bash_read_the_scripts_as_sh_does() {
    for shell in ["busybox ash", "bash"] {
        if std::env::var_os("LIVEROOT_TEST_SHELL").is_some() {
            return;
        }
        let output = Command::new(std::env::current_exe().unwrap())
            .env("LIVEROOT_TEST_SHELL", shell)
            .args(["--skip", "busybox_and_bash"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{shell}: {said}");
    }
}

/// A directory that stands for an initramfs.
struct Initramfs(tempfile::TempDir);

impl Initramfs {
    fn new(words: &str) -> Self {
        let made = Initramfs(tempfile::tempdir().unwrap());
        for dir in [
            "hooks/initqueue/finished",
            "hooks/initqueue/settled",
            "hooks/emergency",
            "lib/dracut",
            "etc/udev/rules.d",
            "run/initramfs",
            "sysroot/run",
            "sbin",
            "dev",
        ] {
            fs::create_dir_all(made.at(dir)).unwrap();
        }
        made.write("proc/cmdline", words);
        made.write("proc/uptime", "7.25 3.00\n");
        made.write("proc/mounts", "tmpfs /run tmpfs rw,noexec,size=1k 0 0\n");
        made.write("lib/dracut-lib.sh", &DRACUT_LIB.replace('@', &made.root()));
        made.install("liveroot-lib.sh", "lib/liveroot-lib.sh");
        let agent = env!("CARGO_BIN_EXE_liveroot-init");
        let wrapper = format!(
            "#!/bin/sh\ncase $1 in\n dracut) cat > ROOT/words; echo \"$*\" >> ROOT/log; [ ! -e ROOT/fails ] ;;\n \
             watch) echo \"$*\" >> ROOT/log ;;\n *) exec {agent} \"$@\" ;;\nesac\n"
        );
        made.write(
            "usr/bin/liveroot-init",
            &wrapper.replace("ROOT", &made.root()),
        );
        made.executable("usr/bin/liveroot-init");
        made
    }

    fn root(&self) -> String {
        self.0.path().to_str().unwrap().to_owned()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        fs::write(self.at(path), text).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    fn executable(&self, path: &str) {
        fs::set_permissions(self.at(path), PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Copies a script of the module, with the paths of this initramfs.
    fn install(&self, name: &str, to: &str) {
        let mut text = fs::read_to_string(Path::new(MODULE).join(name)).unwrap();
        text = text.replace("/tmp/", &format!("{}/", self.root()));
        for path in PATHS {
            // Ventoy's command stays as it is.
            text = text.replace(&format!(" {path}"), &format!(" {}{path}", self.root()));
        }
        text = text.replace(
            "PATH=/usr/sbin",
            &format!("PATH={}/usr/bin:/usr/sbin", self.root()),
        );
        text = text.replace(" /updates", &format!(" {}/updates", self.root()));
        self.write(to, &text);
        self.executable(to);
    }

    /// Sources a hook as dracut does, with `before` in front; what `echo` says after it.
    fn hook(&self, name: &str, before: &str, after: &str) -> String {
        self.install(name, "hook.sh");
        let root = self.root();
        self.sh(&format!(
            ". {root}/lib/dracut-lib.sh; {before}\n . {root}/hook.sh\n echo \"{after}\""
        ))
    }

    fn sh(&self, script: &str) -> String {
        let path = format!("{}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin", self.root());
        let output = shell()
            .args(["-c", script])
            .env("PATH", path)
            .env_remove("DRACUT_SYSTEMD")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "{script}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn claim(&self) -> String {
        self.hook(
            "parse-liveroot.sh",
            "root=$(getarg root=); rootok=",
            "$root $rootok",
        )
    }
}

/// dmsquash-live's and overlayfs's hooks of dracut 059 to 112.
const THEIRS: [&str; 8] = [
    "cmdline/30-parse-dmsquash-live.sh",
    "cmdline/31-parse-iso-scan.sh",
    "pre-udev/30-dmsquash-live-genrules.sh",
    "pre-udev/30-dmsquash-liveiso-genrules.sh",
    "pre-mount/01-prepare-overlayfs.sh",
    "mount/01-mount-overlayfs.sh",
    "pre-pivot/00-prepare-overlayfs.sh",
    "pre-pivot/10-mount-overlayfs.sh",
];

#[test]
fn live_roots_are_claimed_and_what_others_would_do_twice_is_emptied() {
    for words in [
        "root=live:LABEL=X",
        "root=LABEL=X rd.live.image",
        "root=live:/dev/sda1",
    ] {
        let initramfs = Initramfs::new(words);
        for hook in THEIRS {
            initramfs.write(&format!("hooks/{hook}"), "false");
        }
        assert_eq!(initramfs.claim(), "liveroot 1", "{words}");
        for hook in THEIRS {
            let path = initramfs.at(&format!("hooks/{hook}"));
            // There still: dracut 110 and later has listed it already, and sources it.
            assert_eq!(fs::read_to_string(path).unwrap(), "", "{hook}");
        }
        assert!(!initramfs.at("hooks/mount/10-other.sh").exists());
        assert!(
            !initramfs.at("run/initramfs/liveroot-initqueue").exists(),
            "nothing to wait for"
        );
    }
}

#[test]
fn other_roots_are_left_alone_and_urls_are_livenets() {
    for (words, claimed, emptied) in [
        ("root=/dev/sda2 rd.overlay", "/dev/sda2 ", false),
        (
            "root=anaconda-disk:x root=live:LABEL=X root=anaconda-disk:y",
            "anaconda-disk:y ",
            false,
        ),
        (
            "root=live:http://s/x.iso rd.overlay",
            "live:http://s/x.iso ",
            true,
        ),
    ] {
        let initramfs = Initramfs::new(words);
        initramfs.write("hooks/mount/01-mount-overlayfs.sh", "theirs");
        assert_eq!(initramfs.claim(), claimed.trim(), "{words}");
        let left = initramfs.read("hooks/mount/01-mount-overlayfs.sh");
        assert_eq!(left.is_empty(), emptied, "{words}");
    }
}

#[test]
fn a_root_that_anaconda_has_claimed_stays_its_own() {
    let initramfs = Initramfs::new("root=live:LABEL=X inst.stage2=hd:LABEL=X");
    let claimed = initramfs.hook(
        "parse-liveroot.sh",
        "root=anaconda-disk:x rootok=1",
        "$root",
    );
    assert_eq!(claimed, "anaconda-disk:x");
}

#[test]
fn the_older_form_waits_for_no_link_of_udev() {
    let initramfs = Initramfs::new("root=LABEL=X rd.live.image");
    // dracut-rootfs-generator, rootfs-generator.sh of 059.
    let theirs = r"hooks/initqueue/finished/devexists-\x2fdev\x2fdisk\x2fby-label\x2fX.sh";
    let another = r"hooks/initqueue/finished/devexists-\x2fdev\x2fsdb.sh";
    initramfs.write(theirs, "false");
    initramfs.write(another, "false");
    initramfs.claim();
    assert!(!initramfs.at(theirs).exists() && initramfs.at(another).exists());
}

#[test]
fn a_node_of_the_initqueue_is_waited_for_until_dracuts_patience_ends() {
    let initramfs = Initramfs::new("root=live:/dev/liveroot-test-node");
    assert_eq!(initramfs.claim(), "liveroot 1");
    assert!(initramfs.at("run/initramfs/liveroot-initqueue").exists());
    let said = "warn liveroot waits for /dev/liveroot-test-node, as long as rd.retry says\n";
    assert_eq!(initramfs.read("log"), said);
    let finished = initramfs.at("hooks/initqueue/finished/liveroot-node.sh");
    let at = |round: u32| {
        let path = finished.display();
        initramfs.sh(&format!(
            "main_loop={round} RDRETRY=20; if . {path}; then echo finished; else echo waits; fi"
        ))
    };
    assert_eq!(
        (&*at(0), &*at(19), &*at(20)),
        ("waits", "waits", "finished")
    );
    let text = fs::read_to_string(&finished).unwrap();
    let there = text.replace("/dev/liveroot-test-node", "/dev/null");
    initramfs.write("there.sh", &there);
    let path = initramfs.at("there.sh");
    assert_eq!(
        initramfs.sh(&format!(". {} && echo finished", path.display())),
        "finished"
    );
    // The agent does not wait as long again.
    initramfs.hook("mount-liveroot.sh", "root=liveroot", "");
    let log = initramfs.read("log");
    assert!(log.ends_with("dracut --since=7\n"), "{log}");
}

/// lvm's and mdraid's of dracut 059, as far as they queue jobs.
const LVM: &str = "RUN+=\"/sbin/initqueue --settled --onetime --unique /sbin/lvm_scan\"\n";
const MD: &str = "RUN+=\"/sbin/initqueue --timeout --name 50-mdraid_start --onetime --unique x\"\n";
const NVME: &str = "RUN+=\"/sbin/initqueue --onetime --unique --name nvmf-connect\"\n";

#[test]
fn a_link_is_waited_for_in_the_queue_only_where_jobs_may_make_what_it_leads_to() {
    for (rules, jobs, waits) in [
        ("", "", false),
        (NVME, "", false),
        ("", "settled/99-pollcdrom.sh", false),
        ("", "timeout/99-rootfallback.sh", false),
        (LVM, "", true),
        (MD, "", true),
        ("", "settled/lvm.sh", true),
        ("", "timeout/md.sh", true),
    ] {
        let initramfs = Initramfs::new("root=live:LABEL=liveroot-test");
        initramfs.claim();
        if !rules.is_empty() {
            initramfs.write("etc/udev/rules.d/64-x.rules", rules);
        }
        if !jobs.is_empty() {
            initramfs.write(&format!("hooks/initqueue/{jobs}"), "");
        }
        initramfs.hook("liveroot-rules.sh", "root=liveroot", "");
        for made in [
            "run/initramfs/liveroot-initqueue",
            "hooks/initqueue/finished/liveroot-link.sh",
            "liveroot-since",
        ] {
            assert_eq!(initramfs.at(made).exists(), waits, "{rules}{jobs}: {made}");
        }
    }
}

#[test]
fn the_queue_goes_on_while_a_job_may_make_the_device_and_no_longer() {
    let initramfs = Initramfs::new("root=live:LABEL=liveroot-test");
    initramfs.claim();
    initramfs.write("etc/udev/rules.d/64-lvm.rules", LVM);
    initramfs.hook("liveroot-rules.sh", "root=liveroot", "");
    let finished = "hooks/initqueue/finished/liveroot-link.sh";
    let root = initramfs.root();
    let text = initramfs.read(finished);
    initramfs.write(finished, &text.replace(". /lib", &format!(". {root}/lib")));
    let round = |round: u32| {
        initramfs.sh(&format!(
            ". {root}/lib/dracut-lib.sh; main_loop={round} RDRETRY=20
             if ( . {root}/{finished} ); then echo finished; else echo waits; fi"
        ))
    };
    // udev is at work; then a part of a volume is seen; then its job is done.
    initramfs.write("run/udev/queue", "");
    assert_eq!((&*round(0), &*round(1)), ("waits", "waits"));
    fs::remove_file(initramfs.at("run/udev/queue")).unwrap();
    initramfs.write("hooks/initqueue/settled/lvm_scan.sh", "");
    assert_eq!((&*round(0), &*round(9)), ("waits", "waits"));
    assert!(!initramfs.read("log").contains("warn"));
    assert_eq!((&*round(10), &*round(11)), ("waits", "waits"));
    let log = initramfs.read("log");
    assert_eq!(log.matches("lvm_scan.sh may make").count(), 1, "{log}");
    assert_eq!(round(20), "finished", "dracut's patience");
    fs::remove_file(initramfs.at("hooks/initqueue/settled/lvm_scan.sh")).unwrap();
    assert_eq!((&*round(12), &*round(12)), ("waits", "waits"));
    assert_eq!(round(13), "finished", "a round without jobs");
    initramfs.write("hooks/initqueue/timeout/50-mdraid_start.sh", "");
    assert_eq!(round(14), "waits");
    let there = text.replace("/dev/disk/by-label/liveroot-test", "/dev/null");
    initramfs.write(finished, &there);
    assert_eq!(round(14), "finished", "the link is there");
}

#[test]
fn autooverlay_makes_its_partition_once_and_before_us() {
    let job = "hooks/initqueue/settled/liveroot-overlay.sh";
    for (words, runs) in [
        ("root=live:/dev/null rd.overlay=LABEL=persist", true),
        ("root=live:/dev/null rd.live.overlay=LABEL=persist", true),
        (
            "root=live:/dev/null rd.live.overlay=LABEL=persist rd.overlay=1",
            true,
        ),
        (
            "root=live:/dev/null rd.overlay rd.live.overlay=LABEL=persist",
            true,
        ),
        ("root=live:/dev/null rd.overlay=UUID=1", false),
        ("root=live:/dev/null rd.overlay=none", false),
        ("root=live:/dev/null", false),
        ("root=live:/dev/null;reboot rd.overlay=LABEL=persist", false),
    ] {
        let initramfs = Initramfs::new(words);
        let root = initramfs.root();
        initramfs.write(
            "sbin/create-overlay",
            &format!("#!/bin/sh\necho create \"$@\" >> {root}/log\nexit 1\n"),
        );
        initramfs.executable("sbin/create-overlay");
        initramfs.claim();
        assert_eq!(initramfs.at(job).exists(), runs, "{words}");
        if !runs {
            assert!(
                !initramfs
                    .at("hooks/initqueue/finished/liveroot-overlay.sh")
                    .exists()
            );
            continue;
        }
        let text = initramfs
            .read(job)
            .replace("{ /sbin", &format!("{{ {root}/sbin"));
        initramfs.write(job, &text);
        initramfs.sh(&format!("job={root}/{job}; . \"$job\""));
        assert_eq!(initramfs.read("log"), "create /dev/null\n", "{words}");
        assert!(initramfs.at(job).exists(), "it failed");
        initramfs.sh(&format!("job={root}/{job}; . \"$job\""));
        assert_eq!(initramfs.read("log"), "create /dev/null\n".repeat(2));
        assert!(!initramfs.at(job).exists(), "no third time");
        let finished = format!("{root}/hooks/initqueue/finished/liveroot-overlay.sh");
        assert_eq!(
            initramfs.sh(&format!(". {finished} && echo finished")),
            "finished"
        );
    }
}

#[test]
fn the_step_gets_dracuts_words_and_a_failure_is_dracuts_shell() {
    let initramfs = Initramfs::new("root=live:LABEL=X quiet");
    initramfs.hook("mount-liveroot.sh", "root=liveroot", "");
    assert_eq!(initramfs.read("words"), "root=live:LABEL=X quiet");
    assert_eq!(
        initramfs.read("log"),
        "mount -o remount,exec /run\ndracut\n"
    );
    let link = fs::read_link(initramfs.at("dev/root")).unwrap();
    assert_eq!(link, Path::new("null"), "as dmsquash-live");

    for (mounts, mode) in [
        ("tmpfs /run tmpfs rw,noexec 0 0\n", "DRACUT_SYSTEMD=1"),
        (
            "tmpfs /run tmpfs rw,nosuid 0 0\ntmpfs /run/x tmpfs noexec 0 0\n",
            "",
        ),
    ] {
        let initramfs = Initramfs::new("root=live:LABEL=X");
        initramfs.write("proc/mounts", mounts);
        initramfs.hook("mount-liveroot.sh", &format!("root=liveroot {mode}"), "");
        assert_eq!(initramfs.read("log"), "dracut\n", "{mounts} {mode}");
    }

    for (before, runs) in [
        ("root=liveroot; : > @/mounted", false),
        ("root=livenet", false),
    ] {
        let initramfs = Initramfs::new("root=live:LABEL=X");
        initramfs.hook(
            "mount-liveroot.sh",
            &before.replace('@', &initramfs.root()),
            "",
        );
        assert_eq!(initramfs.read("log").contains("dracut"), runs, "{before}");
    }

    let initramfs = Initramfs::new("root=live:LABEL=X");
    initramfs.write("fails", "");
    initramfs.hook("mount-liveroot.sh", "root=liveroot", "");
    assert!(
        initramfs
            .read("log")
            .contains("emergency_shell No live root")
    );
    assert!(!initramfs.at("dev/root").exists());
}

/// Ventoy 6568972a, IMG/cpio/ventoy/hook/rhel7/ventoy-hook.sh: the words that it adds.
fn ventoy_patches_getcmdline(initramfs: &Initramfs) {
    initramfs.sh(&format!(
        "sed 's#printf\\(.*\\)\\$CMDLINE#printf\\1\\$CMDLINE root=live:/dev/ventoy \
         rd.live.overlay=/dev/dm-1:/vtoyoverlayfs/overlayfs #' -i {}/lib/dracut-lib.sh",
        initramfs.root()
    ));
}

#[test]
fn what_ventoy_adds_to_getcmdline_reaches_hook_step_and_generator() {
    let initramfs = Initramfs::new("root=live:CDLABEL=Fedora rd.live.image quiet");
    ventoy_patches_getcmdline(&initramfs);
    assert_eq!(initramfs.claim(), "liveroot 1");
    let waits = initramfs.read("hooks/initqueue/finished/liveroot-node.sh");
    assert!(
        waits.contains("/dev/ventoy"),
        "its hooks are in the initqueue: {waits}"
    );
    initramfs.hook("mount-liveroot.sh", "root=liveroot", "");
    let words = initramfs.read("words");
    assert!(
        words.contains("root=live:/dev/ventoy rd.live.overlay=/dev/dm-1:"),
        "{words}"
    );

    let initramfs = Initramfs::new("quiet root=live");
    ventoy_patches_getcmdline(&initramfs);
    initramfs.install("liveroot-generator.sh", "generator");
    initramfs.sh(&format!(
        "cd {}; mkdir n e l; sh ./generator n e l",
        initramfs.root()
    ));
    assert!(initramfs.read("e/sysroot.mount").contains("Type=overlay"));
}

#[test]
fn ventoy_finds_a_command_in_the_rules_file_and_udev_nothing() {
    let initramfs = Initramfs::new("root=live:/dev/ventoy");
    initramfs.hook("liveroot-rules.sh", "root=liveroot", "");
    let rules = initramfs.at("etc/udev/rules.d/99-live-squash.rules");
    // ventoy-inotifyd-hook.sh: the file must have the word, and this is how it reads the command.
    let script = initramfs.sh(&format!(
        "f={}; grep -q dmsquash $f && grep -m1 'RUN.=' $f | awk -F'RUN.=' '{{print $2}}' \
         | sed 's/\"\\(.*\\)\".*/\\1/'",
        rules.display()
    ));
    let want = "/sbin/initqueue --settled --onetime --unique /sbin/dmsquash-live-root /dev/ventoy";
    assert_eq!(script, want);
    let text = fs::read_to_string(&rules).unwrap();
    let rule = text.lines().find(|l| !l.starts_with('#')).unwrap();
    assert!(rule.starts_with("KERNEL==\"liveroot/none\", "), "{rule}");

    let other = Initramfs::new("root=/dev/sda2");
    other.hook("liveroot-rules.sh", "root=block:/dev/sda2", "");
    assert!(!other.at("etc/udev/rules.d/99-live-squash.rules").exists());
}

#[test]
fn dmsquash_live_root_survives_ventoys_patches_and_says_how_it_went() {
    let initramfs = Initramfs::new("root=live:LABEL=X");
    initramfs.install("dmsquash-live-root.sh", "sbin/dmsquash-live-root");
    let root = initramfs.root();
    let script = format!("{root}/sbin/dmsquash-live-root");
    // ventoy-hook.sh, and ventoy-inotifyd-hook.sh: two for persistence, one for links, which may
    // fail, two for a disc of Dell's.
    for patch in [
        r"/mount.*devspec.*\/run\/initramfs\/overlayfs/a . /ventoy/hook/rhel7/ventoy-overlay.sh",
        "s/osmin.img/osmin.imgxxxx/g",
        "1 a false /ventoy/hook/rhel7/ventoy-make-link.sh",
        "s/liverw=[^ ]*/liverw=ro/g",
        "s/writable_fsimg=[^ ]*/writable_fsimg=\"\"/g",
    ] {
        initramfs.sh(&format!("sed '{patch}' -i {script}"));
    }
    assert!(
        !initramfs
            .read("sbin/dmsquash-live-root")
            .contains("ventoy-overlay")
    );
    initramfs.write("hooks/mount/01-mount-overlayfs.sh", "theirs");
    let call = |arguments: &str| initramfs.sh(&format!("{script} {arguments}; echo $?"));
    assert_eq!(call("/dev/ventoy"), "0");
    assert_eq!(
        fs::read_link(initramfs.at("dev/root")).unwrap(),
        Path::new("null")
    );
    assert!(initramfs.read("log").contains("dracut /dev/ventoy\n"));
    assert_eq!(initramfs.read("hooks/mount/01-mount-overlayfs.sh"), "");
    assert_eq!(call("/dev/ventoy"), "0", "twice");
    assert_eq!(call(""), "1");
    fs::remove_file(initramfs.at("dev/root")).unwrap();
    initramfs.write("fails", "");
    assert_eq!(call("/dev/ventoy"), "1");
    assert!(!initramfs.at("dev/root").exists());
}

/// rhinstaller/anaconda 8eddd3c9, dracut/anaconda-lib.sh:155, anaconda_mount_sysroot: calls the
/// script and leaves a hook that stacks the same layers at $NEWROOT.
#[test]
fn anacondas_root_is_left_for_its_own_mount_hook_and_made_once() {
    let initramfs = Initramfs::new("inst.stage2=hd:LABEL=X");
    initramfs.install("dmsquash-live-root.sh", "sbin/dmsquash-live-root");
    let root = initramfs.root();
    // Sourced, for the stub of umount; in an initramfs `root` and `NEWROOT` are exported.
    let call = || {
        initramfs.sh(&format!(
            "set -- /dev/sda1; root=anaconda-disk:/dev/sda1; . {root}/lib/dracut-lib.sh; \
             . {root}/sbin/dmsquash-live-root"
        ))
    };
    call();
    let log = initramfs.read("log");
    let want = format!("dracut /dev/sda1\numount {root}/sysroot\n");
    assert!(log.ends_with(&want), "{log}");
    assert!(initramfs.at("dev/root").is_symlink());
    initramfs.write("run/liveroot/left.json", "{}");
    call();
    assert_eq!(initramfs.read("log"), log, "nothing twice");

    initramfs.sh(&format!(
        "rm {root}/run/liveroot/left.json {root}/log; : > {root}/fails"
    ));
    let script = format!(
        "set -- /dev/sda1; root=anaconda-x; . {root}/lib/dracut-lib.sh; \
         (. {root}/sbin/dmsquash-live-root); echo $?"
    );
    assert_eq!(initramfs.sh(&script), "1");
    assert!(!initramfs.read("log").contains("umount"));
}

#[test]
fn nobody_unpacks_an_initramfs_over_our_shutdown() {
    let initramfs = Initramfs::new("");
    initramfs.write("run/initramfs/.need_shutdown", "");
    initramfs.hook("zz-liveroot-shutdown.sh", "", "");
    assert!(
        initramfs.at("run/initramfs/.need_shutdown").exists(),
        "no root of ours"
    );
    initramfs.write("run/liveroot/left.json", "{}");
    initramfs.hook("zz-liveroot-shutdown.sh", "", "");
    assert!(!initramfs.at("run/initramfs/.need_shutdown").exists());
    // Sorted behind those that ask for it (cleanup hooks of dracut 059 to 112).
    for theirs in [
        "99-mdraid-needshutdown.sh",
        "99-nfsroot-cleanup.sh",
        "99-watchdog.sh",
    ] {
        assert!(theirs < "99-zz-liveroot-shutdown.sh");
    }
}

#[test]
fn iso_scan_is_there_for_ventoy_and_has_nothing_to_patch() {
    // ventoy-os-lib.sh, ventoy_rw_iso_scan: would make a mount of the disk writable.
    let text = fs::read_to_string(Path::new(MODULE).join("iso-scan.sh")).unwrap();
    assert!(
        !text
            .lines()
            .any(|l| !l.starts_with('#') && l.contains("mount"))
    );
    let status = Command::new("sh")
        .args([&format!("{MODULE}/iso-scan.sh"), "/x.iso"])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn the_generator_writes_early_units_for_live_roots_only() {
    for (words, writes) in [
        ("root=live:LABEL=X", true),
        ("root=live:http://s/x.iso", true),
        ("root=LABEL=X rd.live.image", true),
        ("root=LABEL=X", false),
        ("root=/dev/nfs", false),
    ] {
        let initramfs = Initramfs::new(words);
        initramfs.install("liveroot-generator.sh", "generator");
        initramfs.sh(&format!(
            "cd {}; mkdir n e l; sh ./generator n e l",
            initramfs.root()
        ));
        let link = initramfs.at("e/initrd-root-fs.target.requires/sysroot.mount");
        assert_eq!(link.exists(), writes, "{words}");
        assert_eq!(fs::read_dir(initramfs.at("n")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(initramfs.at("e")).unwrap().count() > 0, writes);
    }
}

#[test]
fn updates_go_over_the_root_and_links_to_directories_stay() {
    let initramfs = Initramfs::new("");
    initramfs.write("sysroot/usr/lib/old", "old");
    symlink("usr/lib", initramfs.at("sysroot/lib")).unwrap();
    initramfs.write("updates/lib/old", "new");
    initramfs.write("updates/etc/a b/conf", "x");
    initramfs.write("run/initramfs/live/updates/usr/bin/tool", "t");
    let nothing = initramfs.hook("apply-live-updates.sh", "", "");
    assert_eq!(
        (&*nothing, &*initramfs.read("sysroot/usr/lib/old")),
        ("", "old")
    );
    initramfs.write("run/liveroot/left.json", "{}");
    initramfs.hook("apply-live-updates.sh", "", "");
    assert_eq!(initramfs.read("sysroot/usr/lib/old"), "new");
    assert!(initramfs.at("sysroot/lib").is_symlink());
    assert_eq!(initramfs.read("sysroot/etc/a b/conf"), "x");
    assert_eq!(initramfs.read("sysroot/usr/bin/tool"), "t");
    let log = initramfs.read("log");
    assert!(
        log.contains("mount -o bind /run ") && log.contains("umount "),
        "{log}"
    );
}

#[test]
fn watch_is_started_where_no_unit_does() {
    for (unit, mode, starts) in [
        (false, "", true),
        (true, "", false),
        (false, "DRACUT_SYSTEMD=1", false),
    ] {
        let initramfs = Initramfs::new("");
        initramfs.write("run/liveroot/left.json", "{}");
        if unit {
            initramfs.write("run/systemd/system/liveroot-watch.service", "");
        }
        initramfs.hook(
            "watch-liveroot.sh",
            &format!("unset DRACUT_SYSTEMD; {mode}"),
            "",
        );
        let want = format!("watch --enter {}/sysroot\n", initramfs.root());
        assert_eq!(initramfs.read("log") == want, starts, "{unit} {mode}");
    }
}

/// What module-setup.sh says and installs, with stubs of dracut's build.
fn module_setup(modules: &[&str], included: &str, call: &str) -> String {
    let base = tempfile::tempdir().unwrap();
    for module in modules {
        fs::create_dir_all(base.path().join("modules.d").join(module)).unwrap();
    }
    let stubs = format!(
        "moddir={MODULE}; dracutbasedir={}; systemdutildir=/usr/lib/systemd\n\
         systemdsystemunitdir=/usr/lib/systemd/system\n\
         inst_simple() {{ echo \"simple ${{1##*/}} $2\"; }}; inst_script() {{ echo \"script ${{1##*/}} $2\"; }}\n\
         inst_hook() {{ [ -f \"$3\" ] && echo \"hook $1 $2 ${{3##*/}}\"; }}; inst_multiple() {{ :; }}\n\
         dracut_module_included() {{ case \" {included} \" in *\" $1 \"*) ;; *) return 1 ;; esac; }}\n",
        base.path().display()
    );
    let script = format!("set -u; {stubs} . {MODULE}/module-setup.sh; {call}");
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_module_depends_on_initqueue_only_where_it_is_one() {
    assert_eq!(module_setup(&["99base", "90dm"], "", "depends"), "base\n");
    assert_eq!(
        module_setup(&["80base", "77initqueue"], "", "depends"),
        "base\ninitqueue\n"
    );
}

#[test]
fn what_is_installed_stands_where_theirs_would() {
    let installed = module_setup(&[], "systemd-initrd", "install");
    for line in [
        "simple liveroot-init /usr/bin/liveroot-init",
        "hook cmdline 28 parse-liveroot.sh",
        "hook pre-mount 10 mount-liveroot.sh",
        "hook pre-pivot 20 apply-live-updates.sh",
        "hook cleanup 99 zz-liveroot-shutdown.sh",
        "script dmsquash-live-root.sh /sbin/dmsquash-live-root",
        "script iso-scan.sh /sbin/iso-scan",
        "script liveroot-generator.sh /usr/lib/systemd/system-generators/liveroot-generator",
        "script nothing.sh /usr/lib/systemd/system-generators/dracut-dmsquash-generator",
        "script nothing.sh /usr/lib/systemd/system-generators/dracut-livenet-generator",
        "simple liveroot-initqueue.conf /usr/lib/systemd/system/dracut-initqueue.service.d/liveroot.conf",
    ] {
        assert!(
            installed.lines().any(|l| l == line),
            "{line} in {installed}"
        );
    }
    assert_eq!(
        module_setup(&[], "systemd", "install"),
        installed,
        "108 and later"
    );
    for line in installed.lines().filter(|l| l.starts_with("script")) {
        // dracut keeps the mode, and systemd passes over a generator that can't be executed.
        let file = line.split(' ').nth(1).unwrap();
        let mode = fs::metadata(Path::new(MODULE).join(file))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o111, 0o111, "{file}");
    }
    // Roots that are not ours need theirs.
    for theirs in ["kiwi-live", "dmsquash-live"] {
        let plain = module_setup(&[], theirs, "install");
        assert!(
            !plain.contains("generator") && !plain.contains("iso-scan"),
            "{plain}"
        );
    }
}

#[test]
fn a_build_that_can_boot_no_live_root_says_so_and_stops() {
    let call = "derror() { echo \"derror $*\"; }; dfatal() { echo \"dfatal $*\"; }; kernel=6.1
        instmods() { echo \"instmods $*\"; case $* in *-c*overlay) return 1 ;; esac; }";
    let check = |agent: &str| {
        module_setup(
            &[],
            "",
            &format!("{call}; liveroot_agent={agent}; check; echo $?"),
        )
    };
    assert_eq!(check("/bin/sh"), "255\n");
    let said = check("/nowhere/liveroot-init");
    assert!(
        said.starts_with("derror liveroot: /nowhere/liveroot-init is missing"),
        "{said}"
    );
    assert!(said.ends_with("\n1\n"), "{said}");

    let said = module_setup(&[], "", &format!("{call}; (installkernel); echo $?"));
    let want = "instmods -c -s loop\ninstmods -c -s squashfs\ninstmods -c -s overlay\n\
                dfatal liveroot: Linux 6.1 has no overlay, neither as a module nor built in\n1\n";
    assert_eq!(said, want);
    let call = call.replace("*-c*overlay", "never");
    let said = module_setup(&[], "", &format!("{call}; (installkernel); echo $?"));
    assert!(
        said.contains(" iso9660 udf ") && said.ends_with("\n0\n"),
        "{said}"
    );
}
