//! A client of QEMU's machine protocol (docs/interop/qmp-spec of QEMU): one JSON object a
//! line either way; events may come between a command and its answer and are kept.

use crate::fail;
use crate::trouble::{Result, Trouble, While};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// A stopped machine does not answer; nothing here takes longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A connection that is past its greeting.
#[derive(Debug)]
pub struct Qmp {
    reader: BufReader<UnixStream>,
    events: Vec<Value>,
    number: u64,
}

impl Qmp {
    /// Shakes hands over a fresh connection.
    pub fn greet(stream: UnixStream) -> Result<Qmp> {
        let mut qmp = Qmp {
            reader: BufReader::new(stream),
            events: Vec::new(),
            number: 0,
        };
        qmp.read(Instant::now() + ANSWER_WITHIN)
            .doing("waiting for QMP's greeting")?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what it returned.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.number += 1;
        let id = self.number;
        // In one write: after `quit`'s last brace QEMU takes no newline any more.
        let line = json!({"execute": command, "arguments": arguments, "id": id}).to_string() + "\n";
        self.reader
            .get_mut()
            .write_all(line.as_bytes())
            .doing(format!("sending {command} to QMP"))?;
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let answer = self
                .read(deadline)
                .doing(format!("waiting for QMP to answer {command}"))?;
            if answer.get("event").is_some() {
                self.events.push(answer);
            } else if answer["id"] == id {
                match answer.get("error") {
                    Some(error) => fail!("QMP {command}: {}", error["desc"]),
                    None => return Ok(answer["return"].clone()),
                }
            }
        }
    }

    /// Waits for an event, also one that has come already.
    pub fn wait_event(
        &mut self,
        name: &str,
        within: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let wanted = |event: &Value| event["event"] == name && fits(&event["data"]);
        let deadline = Instant::now() + within;
        loop {
            if let Some(at) = self.events.iter().position(wanted) {
                self.events.remove(at);
                return Ok(());
            }
            let line = self
                .read(deadline)
                .doing(format!("waiting for QMP's event {name}"))?;
            if line.get("event").is_some() {
                self.events.push(line);
            }
        }
    }

    fn read(&mut self, deadline: Instant) -> Result<Value> {
        let left = deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        self.reader.get_ref().set_read_timeout(Some(left))?;
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err(Trouble("QEMU has ended".into()));
        }
        Ok(serde_json::from_str(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says `lines` after the handshake.
    fn server(lines: &'static [&'static str]) -> Qmp {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut theirs = BufReader::new(theirs);
            let mut asked = String::new();
            theirs.get_mut().write_all(b"{\"QMP\":{}}\n").unwrap();
            theirs.read_line(&mut asked).unwrap();
            theirs
                .get_mut()
                .write_all(b"{\"return\":{},\"id\":1}\n")
                .unwrap();
            if !lines.is_empty() {
                theirs.read_line(&mut asked).unwrap();
            }
            for line in lines {
                theirs
                    .get_mut()
                    .write_all(format!("{line}\n").as_bytes())
                    .unwrap();
            }
        });
        Qmp::greet(ours).unwrap()
    }

    #[test]
    fn events_before_an_answer_are_kept() {
        let mut qmp = server(&[
            "{\"event\":\"E\",\"data\":{\"device\":\"u\"}}",
            "{\"return\":7,\"id\":2}",
        ]);
        assert_eq!(qmp.execute("x", json!({})).unwrap(), 7);
        qmp.wait_event("E", Duration::ZERO, |data| data["device"] == "u")
            .unwrap();
    }

    #[test]
    fn an_error_is_reported_with_its_words() {
        let mut qmp =
            server(&["{\"error\":{\"class\":\"G\",\"desc\":\"no such drive\"},\"id\":2}"]);
        assert!(
            qmp.execute("x", json!({}))
                .unwrap_err()
                .0
                .contains("no such drive")
        );
    }

    #[test]
    fn the_end_of_qemu_is_no_endless_wait() {
        let mut qmp = server(&[]);
        assert!(
            qmp.wait_event("E", Duration::from_secs(5), |_| true)
                .is_err()
        );
    }
}
