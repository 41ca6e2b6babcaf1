//! `/run/liveroot/report.json`: what was asked, seen, decided and done, and when.

use super::machine::Machine;
use crate::layout::VERSION;
use crate::ondisk::FsKind;
use crate::plan::search::{Candidate, Search, Verdict};
use crate::request::Request;
use crate::sys::clock;
use crate::units::Label;
use serde::Serialize;
use std::path::Path;

/// Version of the structure below; docs/report.md describes it.
pub const SCHEMA: u32 = 1;

/// The report of one boot.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct Report {
    pub schema: u32,
    pub version: &'static str,
    pub kernel: String,
    pub request: RequestReport,
    pub candidates: Vec<CandidateReport>,
    pub medium: Option<MediumReport>,
    pub check: Option<CheckReport>,
    pub image: Option<ImageReport>,
    pub copy: Option<CopyReport>,
    pub upper: Option<UpperReport>,
    pub uppers: Vec<OtherReport>,
    pub home: Option<HomeReport>,
    pub root: Option<RootReport>,
    pub steps: Vec<Step>,
    pub modules: Vec<ModuleRecord>,
    pub notices: Vec<String>,
    pub warnings: Vec<String>,
    /// Memory that an image lies in for good, bytes: what the upper can't have.
    #[serde(skip)]
    pub taken: u64,
}

/// The request as it was understood.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct RequestReport {
    pub medium: Option<String>,
    pub live_dir: String,
    pub squashimg: String,
    pub upper: String,
    pub upper_required: bool,
    pub upper_readonly: bool,
    pub memory: String,
    pub init: Option<String>,
    pub shell: bool,
    pub retry_s: u64,
    pub timeout_s: Option<u64>,
}

/// One device and its verdict.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct CandidateReport {
    pub device: String,
    pub model: String,
    pub size: u64,
    pub fs: Option<&'static str>,
    pub label: Option<String>,
    pub uuid: Option<String>,
    pub verdict: &'static str,
    pub reason: String,
}

/// The medium that was taken.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct MediumReport {
    pub device: String,
    pub fs: String,
    pub label: Option<String>,
    pub uuid: Option<String>,
    pub why: String,
    pub iso: Option<IsoReport>,
    pub released: bool,
}

/// What `rd.live.check` came to. `length` in bytes, of what the checksum covers.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct CheckReport {
    pub device: String,
    pub verdict: &'static str,
    pub reason: String,
    pub length: u64,
}

/// The ISO file that the medium is, and the device that holds it.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct IsoReport {
    pub path: String,
    pub device: String,
}

/// The image on it. `size` in bytes, 0 of a plain tree; `device` is what /run/rootfsbase is
/// mounted from.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct ImageReport {
    pub path: String,
    pub size: u64,
    pub id: Option<String>,
    #[serde(rename = "loop")]
    pub loop_device: Option<String>,
    pub fs: &'static str,
    pub layout: &'static str,
    pub inner: Option<InnerReport>,
    pub device: String,
}

/// The image inside it. `size` in bytes.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct InnerReport {
    pub path: String,
    pub size: u64,
    pub fs: &'static str,
}

/// What was copied to memory: `image`, or `inner` for the one inside. `size` in bytes,
/// `took_us` in microseconds.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct CopyReport {
    pub what: &'static str,
    pub from: String,
    pub path: String,
    pub size: u64,
    pub took_us: u64,
    pub mib_per_s: u64,
}

/// Where writes go. `size` in bytes; `options` as the kernel shows them. What follows is
/// there for saved changes only.
#[derive(Debug, Default, Serialize)]
#[allow(missing_docs)]
pub struct UpperReport {
    pub kind: &'static str,
    pub size: u64,
    pub options: String,
    pub device: Option<String>,
    pub fs: Option<&'static str>,
    pub number: String,
    pub directory: Option<String>,
    pub why: String,
    pub last: Option<&'static str>,
    pub check: Option<String>,
    pub image: Option<String>,
}

/// A partition for saved changes that was not taken.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct OtherReport {
    pub device: String,
    pub reason: String,
}

/// What is mounted at /home.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct HomeReport {
    pub device: String,
    pub fs: &'static str,
    pub number: String,
    pub check: String,
}

/// The root overlay. `options` as the kernel shows them, which leaves out its defaults;
/// `asked` is what was pinned.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct RootReport {
    pub source: &'static str,
    pub options: String,
    pub asked: String,
}

/// One step of the story; microseconds, `at_us` since the kernel started, when it ended.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct Step {
    pub name: &'static str,
    pub at_us: u64,
    pub took_us: u64,
}

/// One module; microseconds.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)]
pub struct ModuleRecord {
    pub name: String,
    pub at_us: u64,
    pub took_us: u64,
    pub result: String,
}

impl Report {
    /// A report that knows the request.
    pub fn new(request: &Request) -> Self {
        Report {
            schema: SCHEMA,
            version: VERSION,
            kernel: super::loader::kernel_release(),
            request: RequestReport {
                medium: request.medium.as_ref().map(ToString::to_string),
                live_dir: request.live_dir.clone(),
                squashimg: request.squashimg.clone(),
                upper: request.upper.place.to_string(),
                upper_required: request.upper.required,
                upper_readonly: request.upper.readonly,
                memory: request.upper.memory.to_string(),
                init: request.init.clone(),
                shell: request.shell,
                retry_s: request.retry.as_secs(),
                timeout_s: request.timeout.map(|t| t.as_secs()),
            },
            candidates: Vec::new(),
            medium: None,
            check: None,
            image: None,
            copy: None,
            upper: None,
            uppers: Vec::new(),
            home: None,
            root: None,
            steps: Vec::new(),
            modules: Vec::new(),
            notices: Vec::new(),
            warnings: Vec::new(),
            taken: 0,
        }
    }

    /// Ends a step that began when the last one ended.
    pub fn step(&mut self, name: &'static str) {
        let now = micros(clock::since_boot());
        let before = self.steps.last().map_or(0, |s| s.at_us);
        let took_us = if before == 0 {
            0
        } else {
            now.saturating_sub(before)
        };
        self.steps.push(Step {
            name,
            at_us: now,
            took_us,
        });
    }

    /// Takes what the search knows of each device.
    pub fn take_candidates(&mut self, search: &Search) {
        self.candidates = search
            .candidates()
            .into_iter()
            .map(report_candidate)
            .collect();
    }

    /// Takes the medium that was accepted.
    pub fn take_medium(&mut self, search: &Search, name: &str, node: &Path, fs: FsKind) {
        let Some(candidate) = search.candidate(name) else {
            return;
        };
        let facts = candidate.facts.fs.as_ref();
        let by = if search.wanted.named {
            "the words"
        } else {
            "the initramfs"
        };
        let device = &candidate.device;
        let why = match &device.parent {
            _ if device.host.is_some() => "the file that iso-scan/filename names".to_owned(),
            Some(disk) => format!("named by {by}; partition of {disk}, preferred to the disk"),
            None => format!("named by {by}"),
        };
        self.medium = Some(MediumReport {
            device: node.display().to_string(),
            fs: fs.name().to_owned(),
            label: facts.and_then(|f| f.label.as_ref()).map(Label::to_string),
            uuid: facts.and_then(|f| f.uuid.clone()),
            why,
            iso: device.host.as_ref().map(|host| IsoReport {
                path: format!("/{}", search.wanted.iso.as_deref().unwrap_or_default()),
                device: format!("/dev/{host}"),
            }),
            released: false,
        });
    }

    /// Takes the partitions for saved changes that were not taken.
    pub fn take_others(&mut self, others: Vec<(String, String)>) {
        let report = |(name, reason)| OtherReport {
            device: format!("/dev/{name}"),
            reason,
        };
        self.uppers = others.into_iter().map(report).collect();
    }

    /// Something the user should hear of: kept, and said in the kernel's log.
    pub fn warn(&mut self, text: String) {
        log::warn!("{text}");
        self.warnings.push(text);
    }

    /// A sentence for the user: kept, shown on the console when the boot is done, and left for
    /// whoever logs in.
    pub fn tell(&mut self, sentence: String) {
        log::info!("{sentence}");
        self.notices.push(sentence);
    }

    /// Leaves the report for the live system.
    pub fn write(&self, machine: &Machine) {
        let dir = machine.run.join("liveroot");
        let text = serde_json::to_vec_pretty(self).map(|mut text| {
            text.push(b'\n');
            text
        });
        let written = text
            .map_err(std::io::Error::from)
            .and_then(|text| std::fs::create_dir_all(&dir).map(|()| text))
            .and_then(|text| std::fs::write(dir.join("report.json"), text));
        if let Err(e) = written {
            log::warn!("writing {}/report.json: {e}", dir.display());
        }
    }
}

fn report_candidate(c: &Candidate) -> CandidateReport {
    let fs = c.facts.fs.as_ref();
    let (verdict, reason) = describe_verdict(&c.verdict);
    CandidateReport {
        device: format!("/dev/{}", c.device.name),
        model: c.device.model.clone(),
        size: c.device.size.bytes().0,
        fs: fs.map(|f| f.kind.name()),
        label: fs.and_then(|f| f.label.as_ref()).map(Label::to_string),
        uuid: fs.and_then(|f| f.uuid.clone()),
        verdict,
        reason,
    }
}

/// A verdict as report and page show it.
pub fn describe_verdict(verdict: &Verdict) -> (&'static str, String) {
    match verdict {
        Verdict::Probing(_) => ("unanswered", "no answer yet".to_owned()),
        Verdict::Examining(_) => ("unanswered", "has the name; no answer yet".to_owned()),
        Verdict::Empty => ("empty", "no disc or card in it".to_owned()),
        Verdict::Settling(_) => ("unanswered", "is looking at its disc".to_owned()),
        Verdict::Named => (
            "waiting",
            "has the name; its partitions are looked at first".to_owned(),
        ),
        Verdict::Holds(device) => ("holds-iso", format!("holds the ISO file, seen as {device}")),
        Verdict::OtherImage(found) if found.is_tree() => {
            ("other-image", "is a root tree without an image".to_owned())
        }
        Verdict::OtherImage(found) => {
            let id = found.id.as_ref().map_or("none", |id| id.short());
            ("other-image", format!("holds another image (id {id})"))
        }
        Verdict::Accepted(_) => ("accepted", "holds the image".to_owned()),
        Verdict::Refused(why) => ("refused", why.clone()),
    }
}

/// Whole microseconds.
pub fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
