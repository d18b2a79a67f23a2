//! Downloads from a folder, and from a server on the loopback that misbehaves on order.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};

use super::super::pin::tests::HOST;
use super::super::pin::{Component, Pin};
use super::super::unpack::tests::{What, archive};
use super::*;

/// A dist server that is a folder, with a small archive of each component.
pub(in crate::stage0) struct Served {
    pub(in crate::stage0) folder: tempfile::TempDir,
    sums: BTreeMap<String, String>,
}

impl Served {
    pub(in crate::stage0) fn new() -> Self {
        let mut served = Self {
            folder: tempfile::tempdir().unwrap(),
            sums: BTreeMap::new(),
        };
        for component in Component::ALL {
            let name = component.name();
            let path = match component.program() {
                Some(program) => format!("{name}-1/{name}/bin/{program}{}", std::env::consts::EXE_SUFFIX),
                None => format!("{name}-1/{name}/lib/libstd.rlib"),
            };
            served.serve(component, &[(&path, What::Program(name))]);
        }
        served
    }

    pub(in crate::stage0) fn serve(&mut self, component: Component, entries: &[(&str, What<'_>)]) {
        let bytes = archive(entries);
        let key = format!("dist/2030-01-02/{}-1.0.0-{HOST}.tar.xz", component.name());
        let path = self.path(&key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &bytes).unwrap();
        self.sums.insert(key, hex(&Sha256::digest(&bytes)));
    }

    pub(in crate::stage0) fn pin(&self) -> Pin {
        let text =
            "dist-server=file:///nowhere\nchannel=stable\nversion=1.0.0\ndate=2030-01-02\nrust-version=1.0\n";
        Pin {
            sums: self.sums.clone(),
            ..Pin::parse(text).unwrap()
        }
    }

    pub(in crate::stage0) fn address(&self) -> String {
        format!("file://{}", self.folder.path().join("server").display())
    }

    pub(in crate::stage0) fn tamper(&self, key: &str) {
        fs::write(self.path(key), "another file").unwrap();
    }

    pub(in crate::stage0) fn remove_all(&self) {
        fs::remove_dir_all(self.folder.path().join("server")).unwrap();
    }

    fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join("server").join(key)
    }
}

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What the server does with a request.
#[derive(Clone, Copy, Debug)]
enum Answers {
    /// What was asked for.
    Well,
    /// The whole file, whatever was asked for.
    WithoutRanges,
    /// What was asked for, but hangs up after so many bytes.
    DropsAfter(usize),
    /// An error.
    Status(u16),
    /// Another file of the same length.
    AnotherFile,
}

/// Serves [`CONTENT`], to one request after the other as ordered, and returns the ranges that were asked for.
fn server(orders: Vec<Answers>) -> (String, thread::JoinHandle<Vec<Option<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let serve = move || {
        let one = |order| answer(&listener.accept().unwrap().0, order);
        orders.into_iter().map(one).collect()
    };
    (address, thread::spawn(serve))
}

fn answer(stream: &TcpStream, order: Answers) -> Option<usize> {
    let mut range = None;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(from) = line.strip_prefix("range: bytes=") {
            range = Some(from.trim_end_matches('-').parse().unwrap());
        }
    }
    let from = if matches!(order, Answers::WithoutRanges | Answers::AnotherFile) {
        0
    } else {
        range.unwrap_or(0)
    };
    let length = CONTENT.len().saturating_sub(from);
    let (status, body) = match order {
        Answers::Status(status) => (status, &b""[..]),
        Answers::AnotherFile => (200, &[b'x'; CONTENT.len()][..]),
        _ if from > CONTENT.len() => (416, &b""[..]),
        Answers::DropsAfter(sent) => (if from > 0 { 206 } else { 200 }, &CONTENT[from..from + sent]),
        _ => (if from > 0 { 206 } else { 200 }, &CONTENT[from..]),
    };
    let declared = if body.is_empty() { 0 } else { length };
    let range_line = match status {
        206 => format!(
            "content-range: bytes {from}-{}/{}\r\n",
            CONTENT.len() - 1,
            CONTENT.len()
        ),
        _ => String::new(),
    };
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-length: {declared}\r\n{range_line}connection: close\r\n\r\n");
    let mut stream = stream;
    // A client that has seen enough hangs up.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body));
    range
}

/// Downloads the file into a new folder that holds `part` of it already.
fn download(
    orders: &[Answers],
    part: &[u8],
) -> (Result<Vec<u8>, Error>, Vec<Option<usize>>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    if !part.is_empty() {
        fs::write(folder.path().join("file.part"), part).unwrap();
    }
    let (address, requests) = server(orders.to_vec());
    let wanted = Archive {
        key: "dist/file".to_owned(),
        sha256: hex(&Sha256::digest(CONTENT)),
    };
    let mut downloader = Downloader {
        server: &address,
        interrupts: &Interrupts::default(),
        say: &mut |_| {},
    };
    let done = downloader.archive(&wanted, folder.path()).map(|(_, mut file)| {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    });
    (done, requests.join().unwrap(), folder)
}

#[test]
fn a_download_goes_on_where_it_broke_off() {
    let (done, requests, _) = download(
        &[Answers::DropsAfter(10), Answers::Status(500), Answers::Well],
        b"",
    );
    assert_eq!(done.unwrap(), CONTENT);
    assert_eq!(requests, [None, Some(10), Some(10)]);
}

#[test]
fn what_an_earlier_run_left_is_used() {
    let (done, requests, folder) = download(&[Answers::Well], &CONTENT[..7]);
    assert_eq!(done.unwrap(), CONTENT);
    assert_eq!(requests, [Some(7)]);
    assert!(!folder.path().join("file.part").exists());
    let (done, requests, _) = download(&[], CONTENT);
    assert_eq!(
        (done.unwrap().as_slice(), requests.as_slice()),
        (CONTENT, &[][..])
    );
}

#[test]
fn a_server_without_ranges_starts_over() {
    let (done, requests, _) = download(&[Answers::DropsAfter(10), Answers::WithoutRanges], b"");
    assert_eq!(done.unwrap(), CONTENT);
    assert_eq!(requests, [None, Some(10)]);
}

#[test]
fn a_part_that_does_not_fit_is_given_up() {
    let (done, requests, _) = download(&[Answers::Well, Answers::Well], b"XXXXX");
    assert_eq!(done.unwrap(), CONTENT);
    assert_eq!(requests, [Some(5), None]);
    let longer = [b'y'; 2 * CONTENT.len()];
    let (done, requests, _) = download(&[Answers::Well, Answers::Well], &longer);
    assert_eq!(done.unwrap(), CONTENT);
    assert_eq!(requests, [Some(longer.len()), None]);
}

#[test]
fn another_file_is_an_error_and_leaves_nothing() {
    let (done, _, folder) = download(&[Answers::AnotherFile], b"");
    let error = done.unwrap_err();
    assert!(error.to_string().contains("src/stage0 pins"), "{error}");
    assert!(error.help().unwrap().contains("build.dist-server"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_missing_file_is_not_asked_for_twice() {
    let (done, requests, _) = download(&[Answers::Status(404)], b"");
    let error = done.unwrap_err().to_string();
    assert!(
        error.starts_with("cannot download `http://127.0.0.1:") && error.contains("404"),
        "{error}"
    );
    assert_eq!(requests, [None]);
}

#[test]
fn a_server_that_always_fails_is_given_up() {
    let orders = [Answers::Status(503); TRIES_MAX as usize];
    let (done, requests, _) = download(&orders, b"");
    let error = done.unwrap_err();
    assert!(
        error.to_string().contains("503") && error.to_string().contains("in 5 tries"),
        "{error}"
    );
    assert_eq!(requests.len(), orders.len());
}

#[test]
fn a_cancelled_download_ends_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let interrupts = Interrupts::default();
    thread::scope(|s| {
        // The request has come, and nothing will ever be answered.
        s.spawn(|| {
            let silent = listener.accept().unwrap();
            interrupts.cancel().cancel();
            silent
        });
        let mut downloader = Downloader {
            server: &address,
            interrupts: &interrupts,
            say: &mut |_| {},
        };
        let error = downloader.text("dist/x", 10).unwrap_err();
        assert!(error.to_string().contains("cancelled"), "{error}");
    });
}

#[test]
fn a_text_that_is_too_long_is_refused() {
    let (address, _requests) = server(vec![Answers::Well]);
    let mut downloader = Downloader {
        server: &address,
        interrupts: &Interrupts::default(),
        say: &mut |_| {},
    };
    let error = downloader.text("dist/x", 10).unwrap_err();
    assert!(error.to_string().contains("longer than 10 bytes"), "{error}");
}
