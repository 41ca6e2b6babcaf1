//! A session's file: which image saved changes were made on, and whether they are in use.
//!
//! JSON, padded with blanks and a newline to [`SESSION_LENGTH`] (`layout.rs`), so that it is
//! overwritten in place.

use crate::layout::{SESSION_LENGTH, SESSION_SCHEMA, Session};

/// Reads a session's file; the reason, as people read it, if it is none.
pub fn parse_session(bytes: &[u8]) -> Result<Session, String> {
    let session: Session = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    match session.schema {
        SESSION_SCHEMA => Ok(session),
        other => Err(format!("schema {other}, known here is {SESSION_SCHEMA}")),
    }
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
        let later = Session {
            schema: 2,
            ..session("")
        };
        assert!(
            parse_session(&session_bytes(&later))
                .unwrap_err()
                .contains("schema 2")
        );
    }
}
