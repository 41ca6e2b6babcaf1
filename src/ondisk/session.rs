//! A session's file: which image saved changes were made on, and whether they are in use.
//!
//! JSON, padded with blanks and a newline to [`SESSION_LENGTH`] (`layout.rs`), so that it is
//! overwritten in place.

use crate::layout::{SESSION_LENGTH, SESSION_SCHEMA, Session};

/// What is no session's file of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// A later version made it, with this schema.
    Newer(u32),
    /// It can't be read: why.
    Damaged(String),
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Foreign::Newer(schema) => write!(f, "schema {schema}, known here is {SESSION_SCHEMA}"),
            Foreign::Damaged(why) => f.write_str(why),
        }
    }
}

/// All versions have this.
#[derive(serde::Deserialize)]
struct Schema {
    schema: u32,
}

/// Reads a session's file.
pub fn parse_session(bytes: &[u8]) -> Result<Session, Foreign> {
    let damaged = |e: serde_json::Error| Foreign::Damaged(e.to_string());
    let Schema { schema } = serde_json::from_slice(bytes).map_err(damaged)?;
    if schema != SESSION_SCHEMA {
        return Err(Foreign::Newer(schema));
    }
    serde_json::from_slice(bytes).map_err(damaged)
}

/// The file of a session. A label that does not fit is cut.
pub fn session_bytes(session: &Session) -> Vec<u8> {
    let mut session = session.clone();
    loop {
        let mut bytes = serde_json::to_vec(&session).unwrap_or_default();
        if bytes.len() < SESSION_LENGTH {
            bytes.resize(SESSION_LENGTH - 1, b' ');
            bytes.push(b'\n');
            return bytes;
        }
        session.label.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::ImageId;

    fn session(label: &str) -> Session {
        Session {
            schema: SESSION_SCHEMA,
            image: Some(ImageId::from_digest(&[7; 32])),
            label: label.into(),
            made: u64::MAX,
            used: u64::MAX,
            open: true,
        }
    }

    #[test]
    fn a_sessions_file_is_read_back_and_always_as_long() {
        for label in ["", "LIVE", "with \"quotes\" and ü"] {
            let bytes = session_bytes(&session(label));
            assert_eq!(bytes.len(), SESSION_LENGTH);
            assert_eq!(parse_session(&bytes), Ok(session(label)));
        }
        let cut = session_bytes(&session(&"\u{1}".repeat(400)));
        assert_eq!(cut.len(), SESSION_LENGTH);
        assert!(parse_session(&cut).is_ok());
    }

    #[test]
    fn what_is_no_sessions_file_says_why() {
        assert!(parse_session(b"").is_err());
        assert!(parse_session(&[0; 512]).is_err());
        let later = br#"{"schema":2,"other":[]}"#;
        assert_eq!(parse_session(later), Err(Foreign::Newer(2)));
    }
}
