//! Files that the guest fetches by HTTP, as from a server in its network: QEMU's own network
//! reaches the host's loopback at 10.0.2.2 (qemu-system(1), `-netdev user`).

use crate::trouble::{Result, While};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// For a guest that says nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server that ends with this value.
#[derive(Debug)]
pub struct Server {
    port: u16,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves files by the paths of their URLs.
    pub fn start(files: BTreeMap<String, PathBuf>) -> Result<Server> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("listening for the guest")?;
        let port = listener.local_addr()?.port();
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            for guest in listener.incoming().flatten() {
                if flag.load(Ordering::SeqCst) {
                    return;
                }
                // A guest that went away is no trouble of ours: what it booted with tells.
                let _ = answer(guest, &files);
            }
        });
        Ok(Server {
            port,
            ended,
            thread: Some(thread),
        })
    }

    /// Its address as the guest sees it.
    pub fn address(&self) -> String {
        format!("http://10.0.2.2:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // It looks at the flag when somebody comes.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One request, HTTP/1.0: then the connection ends.
fn answer(guest: TcpStream, files: &BTreeMap<String, PathBuf>) -> io::Result<()> {
    guest.set_read_timeout(Some(PATIENCE))?;
    guest.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(guest.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let mut guest = guest;
    let mut words = request.split(' ');
    let (verb, path) = (words.next(), words.next().unwrap_or_default());
    let Some(file) = files.get(path.trim_start_matches('/')) else {
        return guest.write_all(b"HTTP/1.0 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    };
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    write!(guest, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n")?;
    if verb == Some("GET") {
        io::copy(&mut file, &mut guest)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn what_is_served_comes_and_other_paths_do_not() {
        let file = std::env::temp_dir().join(format!("liveroot-served-{}", std::process::id()));
        std::fs::write(&file, "content").unwrap();
        let server = Server::start(BTreeMap::from([("a/b".into(), file.clone())])).unwrap();
        let ask = |request: &str| {
            let mut guest = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).unwrap();
            write!(guest, "{request} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
            let mut said = String::new();
            guest.read_to_string(&mut said).unwrap();
            said
        };
        assert!(ask("GET /a/b").ends_with("Content-Length: 7\r\n\r\ncontent"));
        assert!(ask("HEAD /a/b").ends_with("Content-Length: 7\r\n\r\n"));
        assert!(ask("GET /a").starts_with("HTTP/1.0 404 "));
        drop(server);
        std::fs::remove_file(&file).unwrap();
    }
}
