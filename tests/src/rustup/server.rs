//! A server on the loopback that can make requests wait, so that a race happens every time.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use crate::script::{STUCK, until};

/// Serves a folder.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    desk: Arc<Desk>,
}

#[derive(Debug, Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Requests for paths with this in them wait.
    held: Option<String>,
    waiting: usize,
}

impl Server {
    /// Serves `root`.
    ///
    /// # Panics
    /// If there is no loopback.
    #[must_use]
    pub fn start(root: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("its address");
        let desk = Arc::<Desk>::default();
        let (root, shared) = (root.to_owned(), Arc::clone(&desk));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (root, desk) = (root.clone(), Arc::clone(&shared));
                // A client that hangs up is no failure of ours.
                std::thread::spawn(move || serve(&stream, &root, &desk).unwrap_or_default());
            }
        });
        Self { address, desk }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on requests for paths with `part` in them wait.
    pub fn hold(&self, part: &str) {
        self.desk.lock().held = Some(part.to_owned());
    }

    /// Waits until so many requests wait.
    ///
    /// # Errors
    /// If they do not for too long.
    pub fn until_it_holds(&self, count: usize) -> Result<(), String> {
        until("requests", || self.desk.lock().waiting >= count)
    }

    /// Answers all requests, those that wait and those that come.
    pub fn let_go(&self) {
        self.desk.lock().held = None;
        self.desk.changed.notify_all();
    }
}

impl Desk {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_for(&self, path: &str) {
        let mut state = self.lock();
        let mut patience = STUCK;
        while state.held.as_ref().is_some_and(|part| path.contains(part)) && !patience.is_zero() {
            state.waiting += 1;
            let tick = Duration::from_secs(1);
            state = self
                .changed
                .wait_timeout(state, tick)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            state.waiting -= 1;
            patience = patience.saturating_sub(tick);
        }
    }
}

fn serve(stream: &TcpStream, root: &Path, desk: &Desk) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or("/").to_owned();
    desk.wait_for(&path);
    let file: PathBuf = root.join(path.trim_start_matches('/'));
    let (status, content) = match std::fs::read(file) {
        Ok(content) => ("200 OK", content),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let mut answer = stream;
    write!(
        answer,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        content.len()
    )?;
    answer.write_all(&content)
}
