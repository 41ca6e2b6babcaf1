//! Where on a file system the saved changes are: two layouts, ours and dracut's.
//!
//! Ours is in `layout.rs`. dracut's (dmsquash-live-root.sh): `/<live_dir>/overlay-LABEL-UUID`,
//! LABEL and UUID being the medium's, with the work directory `ovlwork` beside it.

use crate::layout::{CURRENT, DRACUT_WORK, PUT_ASIDE, SESSION_JSON, UPPER, UPPER_DIR, WORK};

/// Paths below the root of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// What is renamed when the changes are put aside.
    pub base: String,
    /// upperdir.
    pub upper: String,
    /// workdir.
    pub work: String,
    /// The session's file.
    pub session: String,
    /// Room for the next start, on a file system that is full then.
    pub reserve: String,
}

impl Spot {
    /// Ours.
    pub fn ours() -> Self {
        let base = format!("{UPPER_DIR}/{CURRENT}");
        Spot {
            upper: format!("{base}/{UPPER}"),
            work: format!("{base}/{WORK}"),
            session: format!("{base}/{SESSION_JSON}"),
            reserve: format!("{UPPER_DIR}/.reserve"),
            base,
        }
    }

    /// An upper directory that the words or dracut name, no slashes around it.
    pub fn beside(upper: &str) -> Self {
        let (parent, name) = split(upper);
        Spot {
            base: upper.to_owned(),
            upper: upper.to_owned(),
            work: format!("{parent}{DRACUT_WORK}"),
            session: format!("{parent}.liveroot-{name}.json"),
            reserve: format!("{parent}.liveroot-{name}.reserve"),
        }
    }

    /// dracut's, for a medium with this label and UUID.
    pub fn dracut(live_dir: &str, label: &str, uuid: &str) -> Self {
        let name = format!("overlay-{label}-{uuid}").replace('/', "_");
        Spot::beside(format!("{live_dir}/{name}").trim_start_matches('/'))
    }

    /// The one with this upper directory.
    pub fn of_upper(upper: &str) -> Self {
        let ours = Spot::ours();
        if upper == ours.upper {
            return ours;
        }
        Spot::beside(upper)
    }

    /// The one whose session's file this is; none when it has no such name.
    pub fn of(session: &str) -> Option<Self> {
        let (parent, name) = split(session);
        if name == SESSION_JSON {
            let base = parent.trim_end_matches('/');
            return Some(Spot {
                base: base.to_owned(),
                upper: format!("{parent}{UPPER}"),
                work: format!("{parent}{WORK}"),
                session: session.to_owned(),
                reserve: format!("{}.reserve", split(base).0),
            });
        }
        let name = name.strip_prefix(".liveroot-")?.strip_suffix(".json")?;
        Some(Spot::beside(&format!("{parent}{name}")))
    }

    /// Where the changes go that are put aside with number `n`; their session's file too, if
    /// it does not go with them.
    pub fn aside(&self, n: u32) -> (String, Option<String>) {
        if self.session.starts_with(&format!("{}/", self.base)) {
            let (parent, _) = split(&self.base);
            return (format!("{parent}{PUT_ASIDE}{n}"), None);
        }
        let base = format!("{}.{PUT_ASIDE}{n}", self.base);
        let session = Spot::beside(&base).session;
        (base, Some(session))
    }

    /// What is being thrown away has this name until it is gone.
    pub fn discarded(&self) -> String {
        let (parent, name) = split(&self.base);
        format!("{parent}.{name}.reset")
    }
}

/// The part up to the last slash, and the rest.
fn split(path: &str) -> (&str, &str) {
    path.rfind('/')
        .map_or(("", path), |at| path.split_at(at + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dracuts_names_are_dracuts() {
        let spot = Spot::dracut("LiveOS", "LIVE", "2026-01-01-00-00-00-00");
        assert_eq!(spot.upper, "LiveOS/overlay-LIVE-2026-01-01-00-00-00-00");
        assert_eq!(spot.work, "LiveOS/ovlwork");
        assert_eq!(
            spot.session,
            "LiveOS/.liveroot-overlay-LIVE-2026-01-01-00-00-00-00.json"
        );
        assert_eq!(Spot::dracut("", "", "").upper, "overlay--");
        assert_eq!(Spot::dracut("a", "x/y", "u").upper, "a/overlay-x_y-u");
    }

    #[test]
    fn what_is_put_aside_or_thrown_away_stays_on_the_file_system() {
        let ours = Spot::ours();
        assert_eq!(ours.upper, "liveroot/current/upper");
        assert_eq!(ours.aside(2), ("liveroot/session-2".into(), None));
        assert_eq!(ours.discarded(), "liveroot/.current.reset");
        let given = Spot::beside("keep");
        assert_eq!(
            (given.work.as_str(), given.session.as_str()),
            ("ovlwork", ".liveroot-keep.json")
        );
        assert_eq!(
            given.aside(1),
            (
                "keep.session-1".into(),
                Some(".liveroot-keep.session-1.json".into())
            )
        );
        assert_eq!(given.discarded(), ".keep.reset");
    }

    #[test]
    fn a_sessions_file_tells_its_spot() {
        for spot in [
            Spot::ours(),
            Spot::dracut("LiveOS", "L", "u"),
            Spot::beside("keep"),
        ] {
            assert_eq!(Spot::of_upper(&spot.upper), spot);
            assert_eq!(Spot::of(&spot.session), Some(spot));
        }
        let (aside, _) = Spot::ours().aside(3);
        let upper = Spot::of(&format!("{aside}/session.json")).map(|s| s.upper);
        assert_eq!(upper, Some("liveroot/session-3/upper".into()));
        assert_eq!(Spot::of("LiveOS/liveroot.json"), None);
    }
}
