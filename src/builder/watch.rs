//! How a running build is seen and stopped.

/// Told of the progress, and asked whether to stop. The command line has one for
/// terminals and one for logs.
pub trait Watch: Sync {
    /// A new phase begins.
    fn phase(&self, what: &str);
    /// How far the phase is, 0 to 100.
    fn percent(&self, percent: u8);
    /// How far the phase is: so many bytes of so many.
    fn progress(&self, done: u64, total: u64) {
        self.percent((done.saturating_mul(100) / total.max(1)).min(100) as u8);
    }
    /// Something that may surprise later.
    fn warn(&self, line: &str);
    /// Whether the build is to be given up.
    fn cancelled(&self) -> bool;
}

/// Fails when the build is to be given up.
pub fn check(watch: &dyn Watch) -> super::Result<()> {
    if watch.cancelled() {
        Err(super::Error::Interrupted)
    } else {
        Ok(())
    }
}

/// For tests: nobody looks.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub struct Silent;

#[cfg(test)]
impl Watch for Silent {
    fn phase(&self, _: &str) {}
    fn percent(&self, _: u8) {}
    fn warn(&self, _: &str) {}
    fn cancelled(&self) -> bool {
        false
    }
}
