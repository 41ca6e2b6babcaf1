//! Whether a medium will start, decided from facts: pure.
//!
//! What firmware does is EDK2's `MdeModulePkg/Universal/Disk/PartitionDxe` (`Gpt.c`,
//! `ElTorito.c`, `Mbr.c`) and `FatPkg/EnhancedFatDxe`, and SeaBIOS's `src/cdrom.c` and
//! `src/boot.c`. `qemu/` boots twelve images and holds these predictions against both.

mod bios;
#[cfg(test)]
pub(super) mod tests;
mod uefi;

use super::facts::Facts;
use crate::ondisk::eltorito;
use serde::Serialize;

/// A way of starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Way {
    UefiDvd,
    UefiStick,
    BiosDvd,
    BiosStick,
    CopiedToFat,
    Loopback,
}

impl Way {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Way::UefiDvd => "UEFI, DVD",
            Way::UefiStick => "UEFI, stick",
            Way::BiosDvd => "BIOS, DVD",
            Way::BiosStick => "BIOS, stick",
            Way::CopiedToFat => "copied to FAT",
            Way::Loopback => "loop, from GRUB",
        }
    }
}

/// Whether it will.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Verdict {
    Starts,
    Fails,
    /// The medium does not tell.
    Unknown,
}

/// A way, and whether it works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct Prediction {
    pub way: Way,
    pub verdict: Verdict,
    /// Why not; or what to know although it starts.
    pub reasons: Vec<String>,
}

/// A way's decision.
type Decide = fn(&Facts) -> Told;

/// All six ways.
pub fn predict(facts: &Facts) -> Vec<Prediction> {
    let ways: [(Way, Decide); 6] = [
        (Way::UefiDvd, uefi::dvd),
        (Way::UefiStick, uefi::stick),
        (Way::BiosDvd, bios::dvd),
        (Way::BiosStick, bios::stick),
        (Way::CopiedToFat, copied),
        (Way::Loopback, loopback),
    ];
    let cut = cut_short(facts);
    let told = ways.into_iter().map(|(way, decide)| match &cut {
        Some(why) => (way, Told::fails(why)),
        None => (way, decide(facts)),
    });
    told.map(|(way, told)| Prediction {
        way,
        verdict: told.verdict,
        reasons: told.reasons,
    })
    .collect()
}

/// Why a medium whose menu may start starts no system: its root image is not all there.
fn cut_short(facts: &Facts) -> Option<String> {
    let end = |payload: &super::facts::Payload| {
        payload
            .offset
            .saturating_add(payload.used.unwrap_or(payload.length))
    };
    let cut = |payload: &&super::facts::Payload| end(payload) > facts.length;
    let payload = facts.payloads.iter().find(cut)?;
    Some(format!(
        "/{} ends at byte {}, and the medium at {}: it is cut short",
        payload.path.trim_start_matches('/'),
        end(payload),
        facts.length
    ))
}

struct Told {
    verdict: Verdict,
    reasons: Vec<String>,
}

impl Told {
    fn starts(reasons: Vec<String>) -> Told {
        Told {
            verdict: Verdict::Starts,
            reasons,
        }
    }

    fn fails(reason: impl Into<String>) -> Told {
        Told {
            verdict: Verdict::Fails,
            reasons: vec![reason.into()],
        }
    }

    /// The first that starts; if none does, why not each.
    fn first(all: Vec<Told>, none: &str) -> Told {
        let mut reasons = Vec::new();
        for told in all {
            if told.verdict == Verdict::Starts {
                return told;
            }
            reasons.extend(told.reasons);
        }
        if reasons.is_empty() {
            reasons.push(none.to_owned());
        }
        reasons.dedup();
        Told {
            verdict: Verdict::Fails,
            reasons,
        }
    }
}

fn platform(platform: u8) -> String {
    match platform {
        eltorito::PLATFORM_BIOS => "BIOS".into(),
        eltorito::PLATFORM_EFI => "UEFI".into(),
        other => format!("platform {other:#04x}"),
    }
}

/// A label that a FAT can have: at most 11 characters, no small letters.
fn fits_fat(label: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || " -_$%'@~!(){}^#&".contains(c);
    label.len() <= 11 && label.chars().all(allowed)
}

fn copied(facts: &Facts) -> Told {
    if !facts.iso.present {
        return Told::fails("no ISO 9660 tree to copy from");
    }
    let mut reasons = Vec::new();
    let wanted = |path: &String| path.eq_ignore_ascii_case("EFI/BOOT/BOOTX64.EFI");
    if !facts.iso.efi_boot.iter().any(wanted) {
        reasons.push("no EFI/BOOT/BOOTX64.EFI as a plain file in the ISO's tree".to_owned());
    }
    if facts.iso.longest > u64::from(u32::MAX) {
        reasons.push(format!(
            "/{} has {} bytes, and a file on FAT at most 4294967295",
            facts.iso.longest_path, facts.iso.longest
        ));
    }
    if let Some(by) = facts
        .iso
        .by_label
        .first()
        .filter(|_| !fits_fat(&facts.iso.label))
    {
        reasons.push(format!(
            "the label {:?} does not fit a FAT (11 capital letters and digits), and /{by} finds the medium by it",
            crate::units::shown(&facts.iso.label)
        ));
    }
    if !reasons.is_empty() {
        return Told {
            verdict: Verdict::Fails,
            reasons,
        };
    }
    if facts.iso.symlinks > 0 {
        reasons.push(format!(
            "{} symbolic links are lost on FAT",
            facts.iso.symlinks
        ));
    }
    if !facts.iso.by_label.is_empty() {
        reasons.push(format!("the FAT must get the label {}", facts.iso.label));
    }
    Told::starts(reasons)
}

fn loopback(facts: &Facts) -> Told {
    if !facts.iso.present {
        return Told::fails("no ISO 9660 file system");
    }
    match &facts.iso.loopback_cfg {
        None => Told::fails("no boot/grub/loopback.cfg: GRUB's user must write the entry by hand"),
        Some(path) if !facts.iso.loopback_has_iso_path => Told::fails(format!(
            "/{path} does not use iso_path: the system will not find its file"
        )),
        Some(_) => Told::starts(Vec::new()),
    }
}
