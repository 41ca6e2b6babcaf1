//! Patterns of module aliases: `*`, `?` and `[a-z]`, as fnmatch(3) without flags reads them;
//! `-` and `_` are one letter, as in the names of modules.

/// Whether `pattern` matches all of `text`. Time is at most their product.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p, t));
            p += 1;
        } else if let Some(width) = one(&pattern[p..], text[t]) {
            p += width;
            t += 1;
        } else if let Some((at, from)) = star {
            // The last star takes one byte more.
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

/// Bytes of the pattern that match `byte`; none when it does not match.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            // The first byte of a set is in it, even a bracket.
            let end = pattern.iter().skip(2).position(|b| *b == b']')? + 2;
            let negated = matches!(pattern[1], b'!' | b'^');
            let mut set = &pattern[1 + usize::from(negated)..end];
            while let Some(first) = set.first() {
                let (low, high, width) = match set {
                    [low, b'-', high, ..] => (*low, *high, 3),
                    _ => (*first, *first, 1),
                };
                if (low..=high).contains(&byte) {
                    return (!negated).then_some(end + 1);
                }
                set = &set[width..];
            }
            negated.then_some(end + 1)
        }
        b'-' | b'_' => matches!(byte, b'-' | b'_').then_some(1),
        literal => (*literal == byte).then_some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn m(pattern: &str, text: &str) -> bool {
        matches(pattern.as_bytes(), text.as_bytes())
    }

    #[test]
    fn modaliases_of_real_hardware_are_matched() {
        let ahci = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01";
        assert!(m("pci:v*d*sv*sd*bc01sc06i01*", ahci));
        assert!(!m("pci:v*d*sv*sd*bc01sc08i02*", ahci));
        assert!(m(
            "usb:v*p*d*dc*dsc*dp*ic08isc06ip50in*",
            "usb:v46F4p0001d0000dc00dsc00dp00ic08isc06ip50in00"
        ));
        assert!(m("usb:v0[1-3]*", "usb:v02aa"));
        assert!(!m("usb:v0[1-3]*", "usb:v04aa"));
        assert!(m("scsi:t-0x05*", "scsi:t-0x05") && m("crypto-crc32c", "crypto_crc32c"));
        assert!(m("usb:v[0-9]*", "usb:v5") && !m("usb:v[0-9]*", "usb:v-"));
        assert!(m("a[!b]c", "adc") && !m("a[!b]c", "abc") && m("a[b-]c", "a-c"));
        assert!(!m("", "x") && m("", "") && m("***", "") && !m("[", "["));
    }

    proptest! {
        #[test]
        fn a_text_matches_itself_and_nothing_panics(
            pattern in "[a-c*?\\[\\]-]{0,20}", text in "[a-c]{0,20}"
        ) {
            matches(pattern.as_bytes(), text.as_bytes());
            prop_assert!(matches(text.as_bytes(), text.as_bytes()));
            prop_assert!(matches(b"*", text.as_bytes()));
        }
    }
}
