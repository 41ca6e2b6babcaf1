//! The kernel command line as it was said: words, in order, in bytes.
//!
//! Quoting is the kernel's (`lib/cmdline.c`, `next_arg`) and dracut's: a double quote
//! opens or closes a stretch in which blanks do not part words; a pair around the whole
//! word or around the value is taken off; nothing escapes a quote.

/// One word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Before the first `=`.
    pub key: Vec<u8>,
    /// After it; none for a bare word.
    pub value: Option<Vec<u8>>,
}

impl Said {
    /// The value as text; bytes that are not UTF-8 become U+FFFD.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }
}

/// Parts a command line into words. What follows a bare `--` is init's, not the kernel's,
/// and is left out.
pub fn split(line: &[u8]) -> Vec<Said> {
    let mut words = Vec::new();
    for raw in raw_words(line) {
        if raw == b"--" {
            break;
        }
        words.push(read_word(raw));
    }
    words
}

/// Pieces between blanks that stand outside quotes.
fn raw_words(line: &[u8]) -> Vec<&[u8]> {
    let mut quoted = false;
    line.split(|b| {
        quoted ^= *b == b'"';
        b.is_ascii_whitespace() && !quoted
    })
    .filter(|word| !word.is_empty())
    .collect()
}

fn read_word(raw: &[u8]) -> Said {
    // A quote in front belongs to the word; its partner is the last byte.
    let word = match raw.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"").unwrap_or(rest),
        None => raw,
    };
    match word.iter().position(|b| *b == b'=') {
        None => Said {
            key: word.to_vec(),
            value: None,
        },
        Some(at) => Said {
            key: word[..at].to_vec(),
            value: Some(unquote(&word[at + 1..])),
        },
    }
}

fn unquote(value: &[u8]) -> Vec<u8> {
    match value.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"").unwrap_or(rest).to_vec(),
        None => value.to_vec(),
    }
}

/// A word as it must stand on a command line to be read back as `word`: quoted when it
/// holds blanks.
pub fn quote(word: &str) -> String {
    if word.bytes().any(|b| b.is_ascii_whitespace()) {
        format!("\"{word}\"")
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(line: &str) -> Vec<(String, Option<String>)> {
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        split(line.as_bytes())
            .into_iter()
            .map(|w| (text(w.key), w.value.map(text)))
            .collect()
    }

    #[test]
    fn blanks_part_words_and_quotes_hold_them_together() {
        let want = vec![
            ("quiet".to_owned(), None),
            ("root".to_owned(), Some("live:LABEL=MY LIVE".to_owned())),
            ("a".to_owned(), Some("b c".to_owned())),
            ("empty".to_owned(), Some(String::new())),
        ];
        assert_eq!(
            pairs("quiet  \"root=live:LABEL=MY LIVE\" a=\"b c\"\tempty=\n"),
            want
        );
    }

    #[test]
    fn an_open_quote_ends_with_the_line() {
        assert_eq!(
            pairs("a=\"b c"),
            vec![("a".to_owned(), Some("b c".to_owned()))]
        );
    }

    #[test]
    fn what_follows_two_dashes_is_inits() {
        assert_eq!(pairs("ro -- rd.live.dir=x"), vec![("ro".to_owned(), None)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(line in proptest::collection::vec(any::<u8>(), 0..400)) {
            split(&line);
        }

        #[test]
        fn a_quoted_word_is_read_back(value in "[ -!#-~]{0,40}") {
            let word = format!("k={value}");
            let said = split(quote(&word).as_bytes());
            prop_assert_eq!(said.len(), 1);
            prop_assert_eq!(said[0].text(), value);
        }
    }
}
