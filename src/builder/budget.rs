//! What a medium's bytes are spent on, for people: a table by part, the largest directories,
//! what it fits on. Pure.

use super::output::{DirectoryShare, Outcome};
use crate::units::Bytes;

/// A sector of a disc, bytes.
const DISC: u64 = 2048;

/// Something that holds a medium, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Fit {
    /// Its name: `cd`, `dvd`, `dvd-dl`, `fat32-file`, `fat32-copy`, `esp`.
    pub on: &'static str,
    /// What it holds, bytes.
    pub limit: u64,
    /// What it would have to hold, bytes.
    pub size: u64,
    /// Whether it does.
    pub fits: bool,
    #[serde(skip)]
    text: &'static str,
}

/// All that people ask of a medium's size.
pub fn fits(outcome: &Outcome) -> Vec<Fit> {
    let sizes = &outcome.sizes;
    let fit = |on, text, limit, size| Fit {
        on,
        limit,
        size,
        fits: size <= limit,
        text,
    };
    vec![
        // What the label promises; 80 minutes hold some sectors more.
        fit("cd", "a CD of 700 MB", 700 << 20, sizes.iso),
        // Each time the smaller of the two kinds: DVD+R (ECMA-349), DVD-R DL (ECMA-382).
        fit("dvd", "a DVD of 4.7 GB", 2_295_104 * DISC, sizes.iso),
        fit("dvd-dl", "a DVD of 8.5 GB", 4_171_712 * DISC, sizes.iso),
        // FAT's directory entries have 32 bits for a length.
        fit(
            "fat32-file",
            "FAT32, as one file",
            u32::MAX.into(),
            sizes.iso,
        ),
        fit(
            "fat32-copy",
            "FAT32, file by file",
            u32::MAX.into(),
            sizes.payload,
        ),
        // A disc's boot entry counts 65,535 sectors of 512 bytes (El Torito 1.0, 2.4).
        fit(
            "esp",
            "a disc's boot entry can count",
            65_535 * 512,
            sizes.esp,
        ),
    ]
}

struct Row {
    indent: usize,
    name: &'static str,
    size: u64,
    remark: String,
}

fn row(indent: usize, name: &'static str, size: u64, remark: impl Into<String>) -> Row {
    let remark = remark.into();
    Row {
        indent,
        name,
        size,
        remark,
    }
}

fn payload(outcome: &Outcome) -> Vec<Row> {
    let (sizes, id) = (&outcome.sizes, outcome.image_id.short());
    let files = format!("{} of files, image {id}", Bytes(sizes.tree));
    let mut rows = vec![row(0, "payload", sizes.payload, files)];
    // What packed it has not told its parts.
    if sizes.payload_data + sizes.payload_fragments > 0 {
        rows.push(row(1, "data", sizes.payload_data, "blocks of one file"));
        let small = "blocks that small files share";
        rows.push(row(1, "fragments", sizes.payload_fragments, small));
        rows.push(row(
            1,
            "tables",
            sizes.payload_tables,
            "inodes, names, the like",
        ));
    }
    if let Some(root) = &outcome.root_hash {
        let root = root.get(..8).unwrap_or(root);
        rows.push(row(1, "verity", sizes.verity, format!("root hash {root}")));
    }
    rows
}

fn boot(outcome: &Outcome) -> Vec<Row> {
    let (sizes, parts) = (&outcome.sizes, &outcome.initramfs);
    let mut rows = vec![
        row(0, "kernel image", sizes.uki, "one EFI program, of:"),
        row(1, "kernel", sizes.kernel, &outcome.kernel.release),
        row(1, "initramfs", sizes.initramfs, ""),
    ];
    if parts.foreign > 0 {
        rows.push(row(2, "foreign", parts.foreign, "as it was given"));
    } else {
        let (modules, firmware) = (parts.module_count, parts.firmware_count);
        let missing = match parts.firmware_missing {
            0 => String::new(),
            n => format!("; {n} that drivers mention are not in the tree"),
        };
        rows.push(row(2, "agent", parts.agent, "compressed alone"));
        rows.push(row(
            2,
            "modules",
            parts.modules,
            format!("{modules} modules"),
        ));
        let firmware = format!("{firmware} files{missing}");
        rows.push(row(2, "firmware", parts.firmware, firmware));
        rows.push(row(2, "indexes", parts.indexes, ""));
        rows.push(row(2, "microcode", parts.microcode, ""));
    }
    let bios = outcome.bios.map_or(0, |bios| bios.bytes);
    if bios > 0 {
        rows.push(row(0, "BIOS files", bios, ""));
    }
    let others = sizes.files.saturating_sub(sizes.uki + bios);
    if others > 0 {
        rows.push(row(
            0,
            "other files",
            others,
            "systemd-boot, menus, identity",
        ));
    }
    rows.push(row(0, "ESP", sizes.esp, "with a kernel image of its own"));
    rows
}

/// Lines of bytes and shares; without remarks that say nothing.
fn lines(rows: &[Row], whole: u64) -> String {
    let line = |row: &Row| {
        let (name, size) = (format!("{:1$}{2}", "", 2 * row.indent, row.name), row.size);
        let (short, share) = (Bytes(size).to_string(), share(size, whole));
        let line = format!(
            "{name:<16} {short:>10} {size:>13} {share:>8}  {}",
            row.remark
        );
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// Per cent with a tenth.
fn share(part: u64, whole: u64) -> String {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    format!("{}.{} %", thousandths / 10, thousandths % 10)
}

/// Directories that share no byte, the largest first: those of the second level, and those of
/// the first with what lies in them directly.
fn largest(directories: &[DirectoryShare], most: usize) -> Vec<(String, u64)> {
    let level = |directory: &DirectoryShare| match directory.path.as_str() {
        "/" => 0,
        path => path.matches('/').count(),
    };
    let mut own: Vec<(String, u64)> = Vec::new();
    for directory in directories {
        let below = format!("{}/", directory.path.trim_end_matches('/'));
        let is_below = |other: &&DirectoryShare| {
            level(other) == level(directory) + 1 && other.path.starts_with(&below)
        };
        let below = directories
            .iter()
            .filter(is_below)
            .map(|other| other.stored);
        let (below, count) = below.fold((0, 0), |(sum, count), stored| (sum + stored, count + 1));
        let own_files = if count > 0 { " itself" } else { "" };
        let name = format!("{}{own_files}", crate::units::shown(&directory.path));
        own.push((name, directory.stored.saturating_sub(below)));
    }
    own.retain(|(_, stored)| *stored > 0);
    own.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    own.truncate(most);
    own
}

/// The whole of what is said at the end of a build.
pub fn table(outcome: &Outcome) -> String {
    let sizes = &outcome.sizes;
    let mut rows = payload(outcome);
    rows.extend(boot(outcome));
    rows.push(row(
        0,
        "structures",
        sizes.rest(),
        "tables, directories, padding",
    ));
    let output = crate::units::shown(&outcome.output.display().to_string());
    rows.push(row(0, "ISO", sizes.iso, output));
    let mut text = lines(&rows, sizes.iso);
    let largest = largest(&outcome.directories, 10);
    if !largest.is_empty() {
        text += "\nLargest directories, as stored:\n";
    }
    for (path, stored) in largest {
        let (short, share) = (Bytes(stored).to_string(), share(stored, sizes.payload));
        text += &format!("  {short:>10} {share:>7}  {path}\n");
    }
    text.push('\n');
    let twice = outcome.duplicates;
    if twice.files > 0 {
        let (count, bytes) = (twice.files, Bytes(twice.bytes));
        text += &format!("{bytes} in {count} files are contents of other files: stored once.\n");
    }
    if outcome.raw > 0 {
        let raw = Bytes(outcome.raw);
        text += &format!("{raw} do not get smaller by packing: stored as they are.\n");
    }
    text += &starts(outcome);
    for fit in fits(outcome) {
        text += &match (fit.on, fit.limit.checked_sub(fit.size)) {
            ("esp", left) => esp(&fit, left),
            (_, Some(left)) => format!("Fits {}, with {} left.\n", fit.text, Bytes(left)),
            (_, None) => {
                let excess = Bytes(fit.size - fit.limit);
                format!("Does not fit {}: {excess} too much.\n", fit.text)
            }
        };
    }
    text
}

/// The ESP is no place for the medium, but a part of it, which a disc's boot entry counts.
fn esp(fit: &Fit, left: Option<u64>) -> String {
    let (size, limit) = (Bytes(fit.size), Bytes(fit.limit));
    match left {
        Some(left) => format!(
            "The ESP has {size} of the {limit} that {}: room for {} more.\n",
            fit.text,
            Bytes(left)
        ),
        None => format!(
            "The ESP has {size}, more than the {limit} that {}: its count is 0, \
             and not every firmware starts such a disc.\n",
            fit.text
        ),
    }
}

fn starts(outcome: &Outcome) -> String {
    match outcome.bios {
        Some(_) => "Starts by UEFI and by BIOS.\n".into(),
        None => "Starts by UEFI; not by BIOS.\n".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::output::{Duplicates, sample};
    use super::*;

    fn directory(path: &str, stored: u64) -> DirectoryShare {
        DirectoryShare {
            path: path.into(),
            stored,
        }
    }

    #[test]
    fn the_parts_of_the_table_are_the_whole() {
        let outcome = sample();
        let text = table(&outcome);
        let top = text.lines().take_while(|line| !line.is_empty());
        let top: Vec<&str> = top.filter(|line| !line.starts_with(' ')).collect();
        let bytes = |line: &&str| -> u64 {
            let words = line.split("  ").filter(|word| !word.is_empty());
            let number = words.flat_map(str::split_whitespace);
            number
                .filter_map(|word| word.parse().ok())
                .find(|n| *n > 1000)
                .unwrap()
        };
        let (whole, parts) = top.split_last().unwrap();
        assert!(whole.starts_with("ISO "), "{text}");
        assert_eq!(parts.iter().map(bytes).sum::<u64>(), bytes(whole), "{text}");
        assert!(whole.contains("100.0 %"), "{text}");
        assert!(text.contains("  verity"), "{text}");
    }

    #[test]
    fn directories_that_contain_each_other_are_not_counted_twice() {
        let directories = [
            directory("/", 1000),
            directory("/boot", 90),
            directory("/usr", 900),
            directory("/usr/lib", 700),
            directory("/usr/share", 150),
        ];
        let told = largest(&directories, 4);
        let told: Vec<_> = told.iter().map(|(path, n)| (path.as_str(), *n)).collect();
        let wanted = [
            ("/usr/lib", 700),
            ("/usr/share", 150),
            ("/boot", 90),
            ("/usr itself", 50),
        ];
        assert_eq!(told, wanted);
        assert_eq!(
            largest(&directories, 9).iter().map(|(_, n)| n).sum::<u64>(),
            1000
        );
    }

    #[test]
    fn what_it_fits_on_changes_at_the_last_byte() {
        let mut outcome = sample();
        let fit = |outcome: &Outcome, on| {
            fits(outcome)
                .iter()
                .find(|fit| fit.on == on)
                .map(|fit| fit.fits)
        };
        for (on, most) in [
            ("cd", 734_003_200),
            ("dvd", 4_700_372_992),
            ("fat32-file", 4_294_967_295),
        ] {
            outcome.sizes.iso = most;
            assert_eq!(fit(&outcome, on), Some(true), "{on}");
            outcome.sizes.iso += 1;
            assert_eq!(fit(&outcome, on), Some(false), "{on}");
        }
        assert!(table(&outcome).contains("Does not fit a CD of 700 MB: 3.3 GiB too much."));
        outcome.sizes.esp = 65_535 * 512 + 1;
        assert_eq!(fit(&outcome, "esp"), Some(false));
        let text = table(&outcome);
        assert!(text.contains("The ESP has 32.0 MiB, more than"), "{text}");
        assert!(text.contains("a disc's boot entry can count: its count is 0"));
    }

    #[test]
    fn what_twins_and_raw_blocks_cost_is_said_when_there_are_any() {
        let mut outcome = sample();
        let has = |outcome: &Outcome, word: &str| table(outcome).contains(word);
        assert!(!has(&outcome, "stored once") && !has(&outcome, "as they are."));
        outcome.duplicates = Duplicates {
            files: 7,
            bytes: 3 << 20,
        };
        outcome.raw = 1 << 20;
        assert!(has(
            &outcome,
            "3.0 MiB in 7 files are contents of other files"
        ));
        assert!(has(&outcome, "1.0 MiB do not get smaller by packing"));
    }

    #[test]
    fn names_of_the_tree_control_no_terminal() {
        let mut outcome = sample();
        outcome.directories = vec![directory("/a\u{1b}[2Jb", 5)];
        assert!(table(&outcome).contains("/a?[2Jb"));
    }
}
