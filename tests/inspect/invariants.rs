//! What holds for any bytes taken for a medium; for the tests and for `fuzz/targets/medium.rs`.

use liveroot::inspect::draw::{Canvas, draw};
use liveroot::inspect::verify::{Watch, verify_source};
use liveroot::inspect::{findings, gather, predict};
use liveroot::layout::cover;
use liveroot::ondisk::ByteSource;

struct Quiet;

impl Watch for Quiet {
    fn phase(&self, _: &str) {}
    fn progress(&self, done: u64, total: u64) {
        assert!(done <= total, "{done} of {total}");
    }
    fn cancelled(&self) -> bool {
        false
    }
}

/// Everything returns; a drawing has no control characters; ranges cover what is left once.
pub fn check(src: &dyn ByteSource) {
    let (facts, spans, _) = gather(src);
    assert_eq!(predict(&facts).len(), 6);
    let _ = findings(&facts);
    let canvas = Canvas {
        width: 80,
        utf8: true,
    };
    let drawn = draw(&facts, &spans, canvas);
    assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()));
    let few = &spans[..spans.len().min(200)];
    let mut at = 0;
    for span in cover(src.len(), few, &[]) {
        assert_eq!(span.at.start, at);
        at = span.at.end;
    }
    assert_eq!(at, src.len());
    let _ = verify_source(src, &Quiet);
}
