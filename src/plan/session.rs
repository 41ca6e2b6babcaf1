//! What becomes of saved changes that are there already.

use crate::layout::Session;
use crate::request::OnChange;
use crate::units::ImageId;

/// What was found where the changes are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// Changes without a session's file that could be read: dracut wrote them, or the file
    /// is damaged.
    Unmarked,
    /// Changes of ours.
    Marked(Session),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Directories are made.
    Create,
    /// They are used.
    Keep,
    /// They are used, though they were made on another image.
    KeepOther,
    /// They are put aside and new ones are made.
    Fresh,
    /// Whoever is at the console decides between the last two.
    Ask,
}

/// Decides. Without an id on either side there is nothing to compare.
pub fn decide_session(kept: &Kept, own: Option<&ImageId>, wanted: OnChange, may_ask: bool) -> Use {
    let session = match kept {
        Kept::Nothing => return Use::Create,
        Kept::Unmarked => return Use::Keep,
        Kept::Marked(session) => session,
    };
    match (&session.image, own) {
        (Some(theirs), Some(own)) if theirs != own => match wanted {
            OnChange::Keep => Use::KeepOther,
            OnChange::Ask if may_ask => Use::Ask,
            OnChange::Ask | OnChange::Fresh => Use::Fresh,
        },
        _ => Use::Keep,
    }
}

/// How the last session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// There was none.
    New,
    /// It was closed.
    Closed,
    /// Power failed, or the system hung.
    NotClosed,
    /// Nobody marked it.
    Unknown,
}

impl Last {
    /// As the report names it.
    pub fn name(self) -> &'static str {
        match self {
            Last::New => "new",
            Last::Closed => "closed",
            Last::NotClosed => "not-closed",
            Last::Unknown => "unknown",
        }
    }
}

/// How the session that was found had ended.
pub fn decide_last(kept: &Kept) -> Last {
    match kept {
        Kept::Nothing => Last::New,
        Kept::Unmarked => Last::Unknown,
        Kept::Marked(session) if session.open => Last::NotClosed,
        Kept::Marked(_) => Last::Closed,
    }
}

/// What can break when changes of one image lie over another one.
pub const KEPT_OTHER: &str = "The saved changes were made on another image and are used as they are \
     (liveroot.onchange=keep): files changed then hide newer ones of this image, so updated \
     programs may not fit their libraries. If something breaks, start with liveroot.onchange=fresh.";

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u8) -> ImageId {
        ImageId::from_digest(&[n; 32])
    }

    fn made_on(image: Option<ImageId>, open: bool) -> Kept {
        Kept::Marked(Session {
            schema: 1,
            image,
            label: "LIVE".into(),
            made: 1,
            used: 2,
            open,
        })
    }

    #[test]
    fn changes_of_the_same_image_or_of_none_are_used() {
        for kept in [
            made_on(Some(id(1)), false),
            made_on(None, false),
            Kept::Unmarked,
        ] {
            for wanted in [OnChange::Ask, OnChange::Fresh, OnChange::Keep] {
                assert_eq!(decide_session(&kept, Some(&id(1)), wanted, true), Use::Keep);
            }
        }
        let other = made_on(Some(id(2)), false);
        assert_eq!(
            decide_session(&other, None, OnChange::Fresh, true),
            Use::Keep
        );
        assert_eq!(
            decide_session(&Kept::Nothing, None, OnChange::Keep, true),
            Use::Create
        );
    }

    #[test]
    fn changes_of_another_image_are_put_aside_when_nobody_answers() {
        let other = made_on(Some(id(2)), false);
        let decide = |wanted, may_ask| decide_session(&other, Some(&id(1)), wanted, may_ask);
        assert_eq!(decide(OnChange::Ask, true), Use::Ask);
        assert_eq!(decide(OnChange::Ask, false), Use::Fresh);
        assert_eq!(decide(OnChange::Fresh, true), Use::Fresh);
        assert_eq!(decide(OnChange::Keep, true), Use::KeepOther);
    }

    #[test]
    fn an_open_session_did_not_end_cleanly() {
        assert_eq!(decide_last(&made_on(None, true)), Last::NotClosed);
        assert_eq!(decide_last(&made_on(None, false)), Last::Closed);
        assert_eq!(decide_last(&Kept::Unmarked), Last::Unknown);
        assert_eq!(decide_last(&Kept::Nothing), Last::New);
    }
}
