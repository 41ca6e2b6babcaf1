//! Patterns of scenarios: `*` stands for any text, all else for itself.

/// Whether `text` as a whole fits.
pub fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(head) else {
        return false;
    };
    if rest.is_empty() {
        return true;
    }
    loop {
        if fits(rest, text) {
            return true;
        }
        let mut chars = text.chars();
        if chars.next().is_none() {
            return false;
        }
        text = chars.as_str();
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_is_any_text_and_the_ends_are_fixed() {
        assert!(fits(
            "mount * / overlay *",
            "mount LiveOS_rootfs / overlay rw 0 0"
        ));
        assert!(fits("*a*b", "xaab"));
        assert!(fits("a", "a") && fits("*", "") && fits("a*", "a"));
        assert!(!fits("a", "ab") && !fits("a", "ba") && !fits("*b", "ba"));
    }
}
