//! Rust source, seen just well enough: words and paths without comments and strings.

/// One file, as the rules look at it.
#[derive(Debug)]
pub struct Source {
    /// Below `src/`, with `/`.
    pub path: String,
    tokens: Vec<Token>,
}

/// A word or one sign, where it stands, and whether only tests compile it.
#[derive(Clone, Debug)]
pub struct Token {
    pub text: String,
    pub line: usize,
    pub in_test: bool,
}

/// A path as code names it: `["crate", "sys", "mount"]`, groups taken apart.
#[derive(Debug)]
pub struct CodePath {
    pub words: Vec<String>,
    pub line: usize,
    pub in_test: bool,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let mut tokens = tokens(text);
        mark_tests(&mut tokens, path.ends_with("tests.rs"));
        Source {
            path: path.to_owned(),
            tokens,
        }
    }

    /// The folder below `src/`, or the file's own name without its ending.
    pub fn layer(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    /// Where `words` stand one after the other; for rules that don't look at tests.
    pub fn places(&self, words: &[&str]) -> Vec<&Token> {
        let matches = |window: &&[Token]| window.iter().zip(words).all(|(t, w)| t.text == **w);
        self.tokens
            .windows(words.len())
            .filter(matches)
            .map(|window| &window[0])
            .collect()
    }

    /// Whether there is anything but comments.
    pub fn has_code(&self) -> bool {
        !self.tokens.is_empty()
    }

    /// Every path of more than one word.
    pub fn paths(&self) -> Vec<CodePath> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            at = if is_word(&self.tokens[at].text) {
                self.path_from(at, &[], &mut paths).max(at + 1)
            } else {
                at + 1
            };
        }
        paths.retain(|path| path.words.len() > 1);
        paths
    }

    /// Reads a path or a branch of a `use` tree at `at`; returns where it ends.
    fn path_from(&self, mut at: usize, prefix: &[String], paths: &mut Vec<CodePath>) -> usize {
        let text = |at: usize| self.tokens.get(at).map_or("", |token| &token.text);
        let start = &self.tokens[at];
        let mut words = prefix.to_vec();
        loop {
            if text(at) == "{" {
                at += 1;
                while at < self.tokens.len() && text(at) != "}" {
                    at = match text(at) {
                        "," => at + 1,
                        _ => self.path_from(at, &words, paths).max(at + 1),
                    };
                }
                return at + 1;
            }
            words.push(text(at).to_owned());
            at += 1;
            if text(at) != "::" {
                break;
            }
            at += 1;
        }
        if text(at) == "as" {
            at += 2;
        }
        paths.push(CodePath {
            words,
            line: start.line,
            in_test: start.in_test,
        });
        at
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let next = next_token(&chars, at);
        let word: String = chars[at..next].iter().collect();
        let is_code = !word.starts_with(char::is_whitespace)
            && !word.starts_with("//")
            && !word.starts_with("/*")
            && !word.contains(['"', '\'']);
        if is_code {
            tokens.push(Token {
                text: word.clone(),
                line,
                in_test: false,
            });
        }
        line += word.matches('\n').count();
        at = next;
    }
    tokens
}

/// Where the token at `at` ends: a comment, a string, a character, a word, or one sign.
fn next_token(chars: &[char], at: usize) -> usize {
    let has = |at: usize, text: &str| {
        text.chars()
            .enumerate()
            .all(|(i, c)| chars.get(at + i) == Some(&c))
    };
    let find = |from: usize, text: &str| {
        (from..chars.len())
            .find(|at| has(*at, text))
            .map_or(chars.len(), |p| p + text.len())
    };
    let c = chars[at];
    let word_end = (at..chars.len())
        .find(|i| !(chars[*i].is_alphanumeric() || chars[*i] == '_'))
        .unwrap_or(chars.len());
    let word: String = chars[at..word_end].iter().collect();
    if has(at, "//") {
        find(at, "\n").saturating_sub(1).max(at + 1)
    } else if has(at, "/*") {
        comment_end(chars, at)
    } else if matches!(word.as_str(), "r" | "br" | "cr")
        && matches!(chars.get(word_end), Some('"' | '#'))
    {
        raw_string_end(chars, word_end)
    } else if matches!(word.as_str(), "b" | "c") && chars.get(word_end) == Some(&'"') {
        quoted_end(chars, word_end, '"')
    } else if word == "b" && chars.get(word_end) == Some(&'\'') {
        quoted_end(chars, word_end, '\'')
    } else if c == '"' {
        quoted_end(chars, at, '"')
    } else if c == '\'' && (chars.get(at + 1) == Some(&'\\') || chars.get(at + 2) == Some(&'\'')) {
        quoted_end(chars, at, '\'')
    } else if word_end > at {
        word_end
    } else if has(at, "::") {
        at + 2
    } else if c == '\'' {
        // A lifetime: with its name, so that it is no word.
        (at + 1..chars.len())
            .find(|i| !chars[*i].is_alphanumeric())
            .unwrap_or(chars.len())
    } else {
        at + 1
    }
}

/// Comments nest.
fn comment_end(chars: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < chars.len() {
        let pair = (chars[at], chars.get(at + 1).copied().unwrap_or(' '));
        match pair {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// `at` stands on the first `#` or the quote; `r#word` is a word.
fn raw_string_end(chars: &[char], at: usize) -> usize {
    let hashes = chars[at..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return at + hashes;
    }
    let is_end = |i: &usize| {
        chars[*i] == '"'
            && chars[i + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
    };
    (at + hashes + 1..chars.len())
        .find(is_end)
        .map_or(chars.len(), |i| i + 1 + hashes)
}

fn quoted_end(chars: &[char], at: usize, quote: char) -> usize {
    let mut at = at + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

/// An item behind `#[cfg(test)]` or `#[test]` reaches to its closing brace or semicolon.
fn mark_tests(tokens: &mut [Token], all: bool) {
    let starts = |at: usize, words: &[&str]| {
        words
            .iter()
            .enumerate()
            .all(|(i, w)| tokens.get(at + i).is_some_and(|t| t.text == *w))
    };
    let mut ranges = Vec::new();
    for at in 0..tokens.len() {
        let is_test = starts(at, &["#", "[", "cfg", "(", "test", ")", "]"]);
        if is_test || starts(at, &["#", "[", "test", "]"]) {
            let mut depth = 0;
            let mut end = at;
            for (i, token) in tokens.iter().enumerate().skip(at) {
                end = i;
                match token.text.as_str() {
                    "{" | "(" | "[" => depth += 1,
                    "}" | ")" | "]" => depth -= 1,
                    _ => {}
                }
                if depth == 0 && matches!(token.text.as_str(), "}" | ";") {
                    break;
                }
            }
            ranges.push(at..=end);
        }
    }
    for (at, token) in tokens.iter_mut().enumerate() {
        token.in_test = all || ranges.iter().any(|range| range.contains(&at));
    }
}
