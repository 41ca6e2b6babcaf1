//! What is wrong with a medium, whether or not it starts: pure.

use super::facts::{Facts, GptCopy, overlap};
use crate::ondisk::eltorito;
use crate::ondisk::fatfs::{FatType, LEAST_FAT32};

/// A sentence for each mistake.
pub fn findings(facts: &Facts) -> Vec<String> {
    let mut found = Vec::new();
    tables(facts, &mut found);
    catalogue(facts, &mut found);
    for fat in &facts.fats {
        let at = fat.offset;
        if fat.header == Some(FatType::Fat32) && fat.clusters < LEAST_FAT32 {
            found.push(format!(
                "the FAT at byte {at} is built as FAT32 with {} clusters, below the floor of {LEAST_FAT32}",
                fat.clusters
            ));
        }
        if !fat.tables_equal {
            found.push(format!("the two tables of the FAT at byte {at} differ"));
        }
    }
    for payload in &facts.payloads {
        if let Some(used) = payload.used.filter(|used| *used > payload.length) {
            found.push(format!(
                "/{} is cut short: its {} has {used} bytes, the file {}",
                payload.path, payload.kind, payload.length
            ));
        }
        if payload.length > u64::from(u32::MAX) {
            found.push(format!(
                "/{} has {} bytes: no FAT can take it",
                payload.path, payload.length
            ));
        }
    }
    if facts.isomd5.as_ref().is_some_and(|sum| !sum.fragments) {
        found.push(
            "the implanted checksum has no fragment sums: checkisomd5 refuses such an image".into(),
        );
    }
    found
}

fn tables(facts: &Facts, found: &mut Vec<String>) {
    let (primary, backup) = (&facts.gpt.primary, &facts.gpt.backup);
    let has_gpt = primary.is_some() || backup.is_some();
    let protective = facts.mbr.as_ref().is_some_and(|mbr| mbr.protective);
    if has_gpt && !protective {
        found.push("there is a GPT, but the MBR has no protective entry (type EE): by the specification the GPT counts for nothing".into());
    }
    if has_gpt && primary.is_none() {
        found.push("the GPT's first copy is missing".into());
    }
    match (primary, backup) {
        (Some(copy), None) => found.push(format!(
            "the GPT's backup is neither in sector {}, where the first copy says, nor in the last",
            copy.alternate_lba
        )),
        (Some(_), Some(copy)) if copy.lba != facts.gpt.last_lba => found.push(format!(
            "the GPT's backup is in sector {}, and the last one is {}: the stick is larger than the image, and tools offer to \"repair\" it",
            copy.lba, facts.gpt.last_lba
        )),
        _ => {}
    }
    for (name, copy) in [("first copy", primary), ("backup", backup)] {
        let Some(copy) = copy else { continue };
        if !copy.header_holds {
            found.push(format!(
                "the header of the GPT's {name} (sector {}) does not match its sum",
                copy.lba
            ));
        }
        if !copy.entries_hold {
            found.push(format!(
                "the entries of the GPT's {name} (sector {}) do not match their sum",
                copy.entries_lba
            ));
        }
    }
    if let Some(copy) = primary {
        partitions(copy, found);
    }
    let entries = facts.mbr.iter().flat_map(|mbr| &mbr.entries);
    let used: Vec<_> = entries
        .filter(|e| e.length != 0 && e.kind != 0xee)
        .collect();
    for (n, a) in used.iter().enumerate() {
        for b in &used[n + 1..] {
            let range = |e: &super::facts::MbrEntry| {
                u64::from(e.start)..u64::from(e.start) + u64::from(e.length)
            };
            if overlap(&range(a), &range(b)) {
                found.push(format!(
                    "entries {} and {} of the MBR overlap",
                    a.number, b.number
                ));
            }
        }
    }
}

fn partitions(copy: &GptCopy, found: &mut Vec<String>) {
    for (n, a) in copy.partitions.iter().enumerate() {
        let range = |p: &super::facts::GptEntry| p.first..p.last.saturating_add(1);
        for b in copy.partitions.iter().skip(n + 1).take(64) {
            let (one, two) = (range(a), range(b));
            if overlap(&one, &two) {
                let nested = |a: &std::ops::Range<u64>, b: &std::ops::Range<u64>| {
                    a.start <= b.start && b.end <= a.end
                };
                let how = match nested(&one, &two) || nested(&two, &one) {
                    true => "are nested",
                    false => "overlap",
                };
                found.push(format!(
                    "partitions {} and {} of the GPT {how}",
                    a.number, b.number
                ));
            }
        }
        if a.first < copy.usable.0 || a.last > copy.usable.1 {
            found.push(format!(
                "partition {} of the GPT lies in sectors {} to {}, and only {} to {} may be used",
                a.number, a.first, a.last, copy.usable.0, copy.usable.1
            ));
        }
    }
}

fn catalogue(facts: &Facts, found: &mut Vec<String>) {
    let Some(catalogue) = &facts.eltorito else {
        return;
    };
    if !catalogue.valid {
        found.push(format!(
            "the El Torito catalogue at byte {} does not validate",
            catalogue.catalogue
        ));
    }
    for entry in catalogue.entries.iter().filter(|entry| entry.bootable) {
        let claimed = u64::from(entry.count) * eltorito::VIRTUAL;
        let Some(real) = entry.real_length.filter(|_| entry.count > 1) else {
            continue;
        };
        if claimed < real && real > u64::from(u16::MAX) * eltorito::VIRTUAL {
            found.push(format!(
                "the El Torito entry at byte {} counts {} sectors of the FAT's {}: more than 16 bits hold, so the count was cut",
                entry.offset, entry.count, real / eltorito::VIRTUAL
            ));
        } else if claimed < real {
            found.push(format!(
                "the El Torito entry at byte {} counts {} sectors, the FAT has {}",
                entry.offset,
                entry.count,
                real / eltorito::VIRTUAL
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::predict::tests::sample;
    use super::*;

    #[test]
    fn a_medium_without_mistakes_has_none() {
        assert_eq!(findings(&sample()), Vec::<String>::new());
    }

    #[test]
    fn mistakes_of_other_builders_are_named() {
        let says = |change: &dyn Fn(&mut Facts), words: &str| {
            let mut facts = sample();
            change(&mut facts);
            let found = findings(&facts);
            assert!(
                found.iter().any(|line| line.contains(words)),
                "{words}: {found:?}"
            );
        };
        says(
            &|f| f.mbr.as_mut().unwrap().protective = false,
            "no protective entry",
        );
        says(&|f| f.gpt.backup = None, "backup is neither in sector");
        says(&|f| f.gpt.last_lba += 9, "larger than the image");
        says(
            &|f| f.gpt.primary.as_mut().unwrap().entries_hold = false,
            "do not match their sum",
        );
        says(
            &|f| f.gpt.primary.as_mut().unwrap().partitions[0].last = 1500,
            "overlap",
        );
        says(
            &|f| f.gpt.primary.as_mut().unwrap().partitions[0].last = 5000,
            "are nested",
        );
        says(&|f| f.fats[0].tables_equal = false, "two tables");
        says(
            &|f| {
                let entry = &mut f.eltorito.as_mut().unwrap().entries[1];
                (entry.count, entry.real_length) = (2048, Some(67_584 * 512));
            },
            "count was cut",
        );
    }
}
