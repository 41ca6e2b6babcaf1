//! Work that a dead disk may hold for ever, in a thread: whoever waits for it has a limit.

use crate::sys::process;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A disk or server that does not answer to a mount or a look for longer is given up.
pub const ANSWERS: Duration = Duration::from_secs(60);

/// What `work` gives, when it is over within `limit`. What comes later is dropped where it was
/// made: a mount is unmounted there.
///
/// # Errors
/// That it took too long, or that no thread could be had; in words, without a subject.
pub fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let place = Arc::new(Mutex::new(Some(None)));
    let there = place.clone();
    let done = wait(
        limit,
        Box::new(move || {
            let made = work();
            let mut place = there.lock().unwrap_or_else(PoisonError::into_inner);
            // Taken away, nobody waits any more.
            match place.as_mut() {
                Some(slot) => *slot = Some(made),
                None => {
                    drop(place);
                    drop(made);
                }
            }
        }),
    );
    let made = place.lock().unwrap_or_else(PoisonError::into_inner).take();
    done?;
    made.flatten()
        .ok_or_else(|| "the thread that works on it died".to_owned())
}

/// Not generic: each type of channel, and each closure that starts a thread, is 4 KB of the
/// agent.
fn wait(limit: Duration, work: Box<dyn FnOnce() + Send>) -> Result<(), String> {
    let (sender, receiver) = channel::<()>();
    let work = move || {
        work();
        let _ = sender.send(());
    };
    process::start_thread(Box::new(work)).map_err(|e| e.to_string())?;
    match receiver.recv_timeout(limit) {
        // One that died is no longer waited for either.
        Ok(()) | Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => Ok(()),
        Err(_) => Err(format!("no answer for {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;

    #[test]
    fn what_is_made_in_time_comes_back() {
        assert_eq!(within(ANSWERS, || 7), Ok(7));
    }

    #[test]
    fn what_comes_too_late_is_dropped() {
        struct Made(Arc<AtomicBool>, std::sync::mpsc::Sender<()>);
        impl Drop for Made {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
                self.1.send(()).unwrap();
            }
        }
        let (go, wait) = sync_channel::<()>(0);
        let (dropped, heard) = channel();
        let gone = Arc::new(AtomicBool::new(false));
        let there = gone.clone();
        let work = move || {
            wait.recv().unwrap();
            Made(there, dropped)
        };
        let answer = within(Duration::from_millis(20), work);
        assert_eq!(answer.err().unwrap(), "no answer for 0 s");
        assert!(!gone.load(Ordering::SeqCst));
        go.send(()).unwrap();
        heard.recv_timeout(Duration::from_secs(60)).unwrap();
    }
}
