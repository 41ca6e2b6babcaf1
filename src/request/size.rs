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
    fn unknown_tmpfs_options_are_named_and_the_rest_counts() {
        let (wanted, refused) = parse_tmpfs_options(
            "size=1g,huge=always,nr_inodes=10k,size=x,nr_blocks=5%",
            TmpfsSize::default(),
        );
        assert_eq!(wanted.to_string(), "size=1g,nr_inodes=10k");
        assert_eq!(refused, ["huge=always", "size=x", "nr_blocks=5%"]);
    }
}
