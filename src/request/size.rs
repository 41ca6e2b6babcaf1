//! The size of a tmpfs, as words give it.

use std::fmt;

/// How large the upper's tmpfs may grow, and how many files it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmpfsSize {
    /// Value of the mount option `size`: bytes with a suffix, or a share of memory.
    pub size: String,
    /// Other options of `rd.overlay=tmpfs:…`: `nr_blocks`, `nr_inodes`.
    pub more: Vec<(String, String)>,
}

impl Default for TmpfsSize {
    /// Half of memory, the kernel's own default, named so that the report can show it.
    fn default() -> Self {
        TmpfsSize {
            size: "50%".to_owned(),
            more: Vec::new(),
        }
    }
}

impl TmpfsSize {
    /// The same where `taken` bytes of the machine's `total` are taken for good: a share is one
    /// of the rest, and nothing is larger than the rest.
    pub fn beside(&self, taken: u64, total: u64) -> TmpfsSize {
        let rest = total.saturating_sub(taken);
        let within = |text: &str, unit: u64| match text.strip_suffix('%') {
            Some(share) => {
                let share = share.parse().unwrap_or(100u64).min(100);
                Some((rest / 100).saturating_mul(share))
            }
            None => Some(rest).filter(|rest| count(text).saturating_mul(unit) > *rest),
        };
        let or = |text: &str, unit| match within(text, unit) {
            Some(limit) => (limit / unit).max(1).to_string(),
            None => text.to_owned(),
        };
        let more = |(key, value): &(String, String)| match key.as_str() {
            "nr_blocks" => (key.clone(), or(value, PAGE)),
            _ => (key.clone(), value.clone()),
        };
        TmpfsSize {
            size: or(&self.size, 1),
            more: self.more.iter().map(more).collect(),
        }
    }
}

/// Unit of `nr_blocks`, bytes; larger pages make a smaller limit of it.
const PAGE: u64 = 4096;

/// What a text that [`is_tmpfs_size`] takes counts, without `%`.
fn count(text: &str) -> u64 {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.bytes().last() {
        Some(b'k' | b'K') => 10,
        Some(b'm' | b'M') => 20,
        Some(b'g' | b'G') => 30,
        _ => 0,
    };
    digits
        .parse::<u64>()
        .unwrap_or(u64::MAX)
        .saturating_mul(1 << shift)
}

impl fmt::Display for TmpfsSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "size={}", self.size)?;
        self.more
            .iter()
            .try_for_each(|(key, value)| write!(f, ",{key}={value}"))
    }
}

/// What `size=` of a tmpfs takes (tmpfs(5)): digits with `k`, `m`, `g` or `%`.
pub fn is_tmpfs_size(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| "kKmMgG%".contains(c));
    let suffix = text.len() - digits.len();
    suffix <= 1 && is_count(digits) && !(text.ends_with('%') && digits.len() > 3)
}

fn is_count(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 15
        && text.bytes().all(|b| b.is_ascii_digit())
        && text.bytes().any(|b| b != b'0')
}

/// Reads the part of `rd.overlay=tmpfs:…` behind the colon into `wanted`; what it can't use
/// is named.
pub fn parse_tmpfs_options(text: &str, mut wanted: TmpfsSize) -> (TmpfsSize, Vec<String>) {
    let mut refused = Vec::new();
    for part in text.split(',').filter(|p| !p.is_empty()) {
        match part.split_once('=') {
            Some(("size", value)) if is_tmpfs_size(value) => wanted.size = value.to_owned(),
            // A share of memory is a size only: tmpfs refuses `nr_inodes=50%`.
            Some((key @ ("nr_blocks" | "nr_inodes"), value))
                if is_tmpfs_size(value) && !value.ends_with('%') =>
            {
                wanted.more.push((key.to_owned(), value.to_owned()));
            }
            _ => refused.push(part.to_owned()),
        }
    }
    (wanted, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_that_tmpfs_takes() {
        for good in ["50%", "512m", "1G", "1048576"] {
            assert!(is_tmpfs_size(good), "{good}");
        }
        for bad in ["", "%", "0", "m", "1gb", "-1", "0x10", "1 g", "5000%"] {
            assert!(!is_tmpfs_size(bad), "{bad}");
        }
    }

    #[test]
    fn beside_a_copy_in_memory_the_two_are_no_more_than_there_is() {
        let (taken, total) = (600 << 20, 1000 << 20);
        let size = |text: &str| {
            let (wanted, _) = parse_tmpfs_options(text, TmpfsSize::default());
            wanted.beside(taken, total).to_string()
        };
        assert_eq!(size(""), format!("size={}", 200 << 20));
        assert_eq!(size("size=90%"), format!("size={}", 360 << 20));
        assert_eq!(size("size=400m"), "size=400m");
        assert_eq!(size("size=401m"), format!("size={}", 400 << 20));
        assert_eq!(size("size=100000000g"), format!("size={}", 400 << 20));
        let both = size("size=1m,nr_blocks=1g,nr_inodes=5k");
        assert_eq!(both, format!("size=1m,nr_blocks={},nr_inodes=5k", 400 << 8));
        let all = TmpfsSize::default().beside(total, total);
        assert_eq!(all.to_string(), "size=1", "tmpfs takes 0 for no limit");
    }

    #[test]
    fn unknown_tmpfs_options_are_named_and_the_rest_counts() {
        let (wanted, refused) = parse_tmpfs_options(
            "size=1g,huge=always,nr_inodes=10k,size=x,nr_blocks=5%",
            TmpfsSize::default(),
        );
        assert_eq!(wanted.to_string(), "size=1g,nr_inodes=10k");
        assert_eq!(refused, ["huge=always", "size=x", "nr_blocks=5%"]);
    }
}
