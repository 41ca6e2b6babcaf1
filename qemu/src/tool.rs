//! Running the host's programs: quietly, with their words shown when they fail.

use crate::fail;
use crate::trouble::{Result, While};
use std::process::{Command, Stdio};

/// Runs to the end and returns what it printed; on failure its command line and the last
/// lines it said are the error.
pub fn output(command: &mut Command) -> Result<Vec<u8>> {
    let shown = show(command);
    let done = command
        .stdin(Stdio::null())
        .output()
        .doing(format!("starting {shown}"))?;
    if !done.status.success() {
        let mut said = String::from_utf8_lossy(&done.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&done.stderr));
        fail!("{shown}: {}\n{}", done.status, tail(&said, 20));
    }
    Ok(done.stdout)
}

/// [`output`] for programs that are run for their effect.
pub fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// [`output`] as text.
pub fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&output(command)?).into_owned())
}

/// A pipeline of `sh`; arguments arrive as `$1` ….
pub fn shell(script: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Result<Vec<u8>> {
    let mut command = Command::new("sh");
    command.arg("-euc").arg(script).arg("sh");
    for argument in arguments {
        command.arg(argument);
    }
    output(&mut command)
}

/// The command as it could be typed.
pub fn show(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quote(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// One word as a POSIX shell takes it.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The last `count` lines.
pub fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_program_is_an_error_with_its_own_words() {
        let error = shell("echo broken >&2; exit 3", &[]).unwrap_err();
        assert!(
            error.0.contains("broken") && error.0.contains("3"),
            "{error}"
        );
    }

    #[test]
    fn a_shown_command_can_be_typed_again() {
        let mut command = Command::new("a");
        command.args(["b c", "it's", "d"]);
        assert_eq!(show(&command), r"a 'b c' 'it'\''s' d");
    }
}
