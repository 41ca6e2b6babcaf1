//! The hybrid ISO: a disc to a disc drive, a GPT disk to everything else.
//!
//! GPT partition 1 is the ISO 9660 file system, from sector 64 with descriptors of its own,
//! so that it mounts by itself and partitions behind the image stay usable; partition 2 is
//! the ESP, appended, which El Torito's one boot entry names too. Payload and ESP start at
//! whole MiB: two hidden files before and behind the payload take up the rest.

use super::tool::{Tools, XORRISO, args};
use super::{Error, Result};
use crate::layout::{LIVE_DIR, MEDIUM_JSON, PAYLOAD_ALIGN, SQUASHFS_IMG};
use crate::units::Label;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// GPT type of an EFI system partition (UEFI 2.11, table 5.7).
const ESP_GUID: &str = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B";
/// A sector of ISO 9660.
const SECTOR: u64 = 2048;

/// What the ISO holds.
#[derive(Clone, Debug)]
pub struct IsoPlan {
    /// Volume label.
    pub label: Label,
    /// Seconds since 1970 of all dates.
    pub epoch: u64,
    /// Disk GUID, from which the partitions' derive.
    pub guid: [u8; 16],
    /// The ESP's image.
    pub esp: PathBuf,
    /// Files of the tree except the payload: path, and where the contents are.
    pub files: Vec<(String, PathBuf)>,
    /// The payload.
    pub payload: PathBuf,
}

/// Paths of the padding files, which no directory lists.
const PAD_BEFORE: &str = "pad-1";
const PAD_BEHIND: &str = "pad-2";

/// Writes the ISO and checks where the payload came to lie; gives its offset.
pub fn write(tools: &Tools<'_>, plan: &IsoPlan, to: &Path) -> Result<u64> {
    let offset = unpadded_offset(tools, plan)?;
    let before = SECTOR + (PAYLOAD_ALIGN - (offset % PAYLOAD_ALIGN)) % PAYLOAD_ALIGN;
    let expected = offset + before - SECTOR;
    let len = std::fs::metadata(&plan.payload)
        .map_err(Error::system("looking at", &plan.payload))?
        .len();
    let end = (expected + len).next_multiple_of(SECTOR);
    let behind = end.next_multiple_of(PAYLOAD_ALIGN) - end;
    let pads = (
        pad(tools, PAD_BEFORE, before)?,
        pad(tools, PAD_BEHIND, behind)?,
    );
    tools.run(
        XORRISO,
        "writing the ISO",
        &words(plan, &plan.payload, &pads, to),
    )?;
    check_payload(plan, to, expected)?;
    Ok(expected)
}

/// Where the payload would start with padding of one sector, from a dry run with a stub in
/// its place: what stands before it does not depend on it.
fn unpadded_offset(tools: &Tools<'_>, plan: &IsoPlan) -> Result<u64> {
    let stub = tools.scratch.join("payload-stub");
    std::fs::write(&stub, [0; SECTOR as usize]).map_err(Error::system("writing", &stub))?;
    let pads = (
        pad(tools, PAD_BEFORE, SECTOR)?,
        pad(tools, PAD_BEHIND, SECTOR)?,
    );
    let dry = tools.scratch.join("dry.iso");
    tools.run(
        XORRISO,
        "laying out the ISO",
        &words(plan, &stub, &pads, &dry),
    )?;
    let path = format!("/{LIVE_DIR}/{SQUASHFS_IMG}");
    let report = args([
        &"-no_rc",
        &"-indev",
        &dry,
        &"-find",
        &path,
        &"-exec",
        &"report_lba",
        &"--",
    ]);
    let report = tools.run(XORRISO, "reading the layout back", &report)?;
    let _ = std::fs::remove_file(&dry);
    start_of(&report)
        .map(|sector| sector * SECTOR)
        .ok_or_else(|| {
            Error::input(
                "xorriso",
                "it does not report where files lie",
                "use xorriso 1.5.2 or newer",
            )
        })
}

/// The start in `File data lba:  0 ,  2506 ,  1465 ,  3000000 , '/path'`.
fn start_of(report: &str) -> Option<u64> {
    let line = report
        .lines()
        .find(|line| line.starts_with("File data lba:"))?;
    line.split(',').nth(1)?.trim().parse().ok()
}

/// A file of zeros.
fn pad(tools: &Tools<'_>, name: &str, len: u64) -> Result<PathBuf> {
    let path = tools.scratch.join(name);
    let made = File::create(&path).and_then(|file| file.set_len(len));
    made.map_err(Error::system("writing", &path))?;
    Ok(path)
}

fn words(plan: &IsoPlan, payload: &Path, pads: &(PathBuf, PathBuf), to: &Path) -> Vec<OsString> {
    let guid: String = plan.guid.iter().map(|b| format!("{b:02x}")).collect();
    let (dates, date) = (
        format!("={}", plan.epoch),
        format!("--modification-date={}", iso_date(plan.epoch)),
    );
    let label = plan.label.to_string();
    let mut words = args([
        &"-no_rc",
        &"-as",
        &"mkisofs",
        &"-o",
        &to,
        &"-V",
        &label,
        &"-iso-level",
        &"3",
        &"-r",
        &"-J",
        &"-joliet-long",
        &"-preparer",
        &"liveroot",
        &"--set_all_file_dates",
        &dates,
        &date,
        &"-no-pad",
        &"-partition_offset",
        &"16",
    ]);
    words.extend(args([
        &"--gpt_disk_guid",
        &guid,
        &"-append_partition",
        &"2",
        &ESP_GUID,
        &plan.esp,
        &"-appended_part_as_gpt",
        &"-c",
        &"boot.cat",
        &"--boot-catalog-hide",
        &"-eltorito-platform",
        &"efi",
        &"-e",
        &"--interval:appended_partition_2:all::",
        &"-no-emul-boot",
    ]));
    let payload_path = format!("{LIVE_DIR}/{SQUASHFS_IMG}");
    let mut grafts = vec![
        (PAD_BEFORE.to_owned(), pads.0.as_path()),
        (payload_path.clone(), payload),
    ];
    grafts.push((PAD_BEHIND.to_owned(), pads.1.as_path()));
    for name in [PAD_BEFORE, PAD_BEHIND] {
        words.extend(args([&"-hide", &name, &"-hide-joliet", &name]));
    }
    // Heavier files come first; the payload and what aligns it come last.
    let order = plan
        .files
        .iter()
        .map(|(path, _)| path)
        .chain(grafts.iter().map(|(path, _)| path));
    for (n, path) in order.enumerate() {
        words.extend(args([
            &"--sort-weight",
            &format!("-{}", n + 1),
            &format!("/{path}"),
        ]));
    }
    words.push("-graft-points".into());
    let files = plan
        .files
        .iter()
        .map(|(path, from)| (path.clone(), from.as_path()));
    for (path, from) in files.chain(grafts) {
        let mut graft = OsString::from(format!("{path}="));
        graft.push(escape(from));
        words.push(graft);
    }
    words
}

/// A path of the host as graft points take it: `=` and `\` have a meaning there.
fn escape(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'=' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    OsString::from_vec(bytes)
}

/// The file must lie where it was meant to, byte for byte at its start.
fn check_payload(plan: &IsoPlan, iso: &Path, offset: u64) -> Result<()> {
    let read = |path: &Path, at: u64| -> Result<[u8; 96]> {
        let mut head = [0; 96];
        let opened = File::open(path).and_then(|file| file.read_exact_at(&mut head, at));
        opened.map_err(Error::system("reading", path))?;
        Ok(head)
    };
    if read(iso, offset)? == read(&plan.payload, 0)? {
        return Ok(());
    }
    Err(Error::input(
        iso.display(),
        format!("xorriso did not put the payload at byte {offset}"),
        "report this as a defect, with the version of xorriso",
    ))
}

/// Where the medium's own files go.
pub fn manifest_path() -> String {
    format!("{LIVE_DIR}/{MEDIUM_JSON}")
}

/// `YYYYMMDDhhmmss00` in UTC, as ISO 9660's volume descriptors write dates.
fn iso_date(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    // Civil date from days, by eras of 400 years that start in March.
    let days = days + 719_468;
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_iso_9660_wants_them() {
        for (epoch, text) in [
            (1_700_000_000, "2023111422132000"),
            (315_532_800, "1980010100000000"),
            (951_782_400, "2000022900000000"),
            (1_709_164_799, "2024022823595900"),
            (4_102_444_799, "2099123123595900"),
        ] {
            assert_eq!(iso_date(epoch), text);
        }
    }

    #[test]
    fn the_layout_report_is_understood() {
        let report = "Report layout: xt , Startlba ,   Blocks , Filesize , ISO image path\n\
                      File data lba:  0 ,     2506 ,     1465 ,  3000000 , '/LiveOS/squashfs.img'\n";
        assert_eq!(start_of(report), Some(2506));
        assert_eq!(start_of("nothing"), None);
    }
}
