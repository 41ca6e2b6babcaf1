//! Facts of this boot for the programs that come later ([`Left`]).

use super::machine::Machine;
use super::report::Report;
use crate::layout::{LEFT_SCHEMA, Left, LeftMount};
use crate::request::Request;
use crate::sys::block;
use crate::sys::mount::shown_number;
use crate::units::ImageId;
use std::path::Path;

/// What is mounted now, and how it is to be left. `session` is the file of the session that
/// is open.
pub fn gather(
    machine: &Machine,
    request: &Request,
    image: Option<ImageId>,
    session: Option<String>,
    report: &Report,
) -> Left {
    let mounted = |device: &str, fs: &str, at: &Path| LeftMount {
        device: device.to_owned(),
        number: shown_number(&machine.proc, at),
        at: at.display().to_string(),
        fs: fs.to_owned(),
    };
    let medium = report.medium.as_ref();
    let upper =
        report
            .upper
            .as_ref()
            .map(|upper| match (&upper.device, upper.fs, session.is_some()) {
                (Some(device), Some(fs), true) => mounted(device, fs, &machine.saved()),
                _ => mounted("tmpfs", "tmpfs", &machine.overlay()),
            });
    let saved = report.upper.as_ref().and_then(|upper| {
        let (device, fs) = (upper.device.as_ref()?, upper.fs?);
        Some(mounted(device, fs, &machine.saved()))
    });
    let directory = report.upper.as_ref().and_then(|u| u.directory.as_deref());
    let home = report.home.as_ref();
    Left {
        schema: LEFT_SCHEMA,
        image,
        medium: medium
            .filter(|m| m.device.starts_with("/dev/"))
            .map(|m| match m.released {
                false => mounted(&m.device, &m.fs, &machine.live()),
                true => LeftMount {
                    device: m.device.clone(),
                    number: block::number(&machine.sys, &m.device),
                    fs: m.fs.clone(),
                    ..LeftMount::default()
                },
            }),
        upper,
        saved,
        directory: directory.map(|path| path.trim_start_matches('/').to_owned()),
        session,
        home: home.map(|h| LeftMount {
            at: "/home".to_owned(),
            ..mounted(&h.device, h.fs, &machine.sysroot.join("home"))
        }),
        eject: request.eject,
        notices: report.notices.clone(),
    }
}
