//! Release archives: the same content gives the same bytes, whoever packs it, whenever, and on however many processors.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use buildlock::Cancel;
use liblzma::stream::{Check, MtStreamBuilder};
use liblzma::write::XzEncoder;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

use crate::stage0::pin::hex;

/// How many threads may compress. Each takes about 100 MiB at the usual level.
pub const THREADS_MAX: u32 = 4;

/// A file that goes into an archive, or to where it is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Where it is.
    pub from: PathBuf,
    /// Where it goes, below the archive's folder, with `/` between the parts.
    pub to: String,
    /// Which permissions it gets.
    pub kind: Kind,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It can be run, or loaded.
    Program,
    /// It is to be read.
    Text,
}

impl Kind {
    fn mode(self) -> u32 {
        match self {
            Self::Program => 0o755,
            Self::Text => 0o644,
        }
    }
}

/// How to compress.
#[derive(Clone, Copy, Debug)]
pub struct Compression {
    /// As xz(1) has it: 0 to 9.
    pub level: u32,
    /// How many threads share the work; at least 1, at most [`THREADS_MAX`].
    pub threads: u32,
}

/// Writes a `.tar.xz` to `out`: one folder `top`, with the items in the order of their names, all of one time (in seconds
/// since the Unix epoch) and one owner, who is 0.
///
/// # Errors
/// Where a file cannot be read, or `out` cannot be written to.
pub fn pack(out: impl Write, top: &str, items: &[Item], time: u64, how: Compression) -> io::Result<()> {
    // The blocks' size depends on the level alone, so the number of threads does not show in the result.
    let stream = MtStreamBuilder::new()
        .threads(how.threads)
        .preset(how.level)
        .check(Check::Crc64)
        .encoder()?;
    let mut tar = Builder::new(XzEncoder::new_stream(BufWriter::new(out), stream));
    let mut items: Vec<_> = items.iter().collect();
    items.sort_by(|a, b| a.to.cmp(&b.to));
    let header = |kind, mode, size| {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(time);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header
    };
    let mut folders = std::collections::BTreeSet::from([format!("{top}/")]);
    for item in &items {
        for (at, _) in item.to.match_indices('/') {
            folders.insert(format!("{top}/{}/", &item.to[..at]));
        }
    }
    for folder in &folders {
        tar.append_data(&mut header(EntryType::Directory, 0o755, 0), folder, io::empty())?;
    }
    for item in items {
        let file = File::open(&item.from)
            .map_err(|e| io::Error::new(e.kind(), format!("`{}`: {e}", item.from.display())))?;
        let size = file.metadata()?.len();
        let name = format!("{top}/{}", item.to);
        // Whoever changes the file meanwhile must not make the archive say a wrong size.
        let content = io::Read::take(file, size);
        tar.append_data(
            &mut header(EntryType::Regular, item.kind.mode(), size),
            name,
            content,
        )?;
    }
    tar.into_inner()?.finish()?.flush()
}

/// Makes the archive `<folder>/<top>.tar.xz`, and beside it the file with its SHA-256, each aside and renamed. Returns the
/// archive's path.
///
/// # Errors
/// As [`pack`], and where `cancel` was used.
pub fn make(
    folder: &Path,
    top: &str,
    items: &[Item],
    time: u64,
    how: Compression,
    cancel: &Cancel,
) -> io::Result<PathBuf> {
    let name = format!("{top}.tar.xz");
    let (path, sum_path) = (folder.join(&name), folder.join(format!("{name}.sha256")));
    fs::create_dir_all(folder)?;
    let mut aside = tempfile::Builder::new();
    aside.prefix(".aside-");
    #[cfg(unix)]
    let aside = aside.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = aside.tempfile_in(folder)?;
    let mut hashing = Hashing {
        inner: file.as_file_mut(),
        sum: Sha256::new(),
        cancel,
    };
    pack(&mut hashing, top, items, time, how)?;
    let sum = hex(&hashing.sum.finalize());
    file.as_file().sync_all()?;
    // A sum without its archive is better than one of another.
    match fs::remove_file(&sum_path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    file.persist(&path).map_err(|e| e.error)?;
    crate::aside::write(&sum_path, format!("{sum}  {name}\n").as_bytes())?;
    Ok(path)
}

/// Hashes what is written.
struct Hashing<'a, W> {
    inner: W,
    sum: Sha256,
    cancel: &'a Cancel,
}

impl<W: Write> Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.cancel.is_cancelled() {
            return Err(io::Error::other("cancelled"));
        }
        let written = self.inner.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use liblzma::read::XzDecoder;
    use tar::Archive;

    use super::*;

    fn at_level_1(threads: u32) -> Compression {
        Compression { level: 1, threads }
    }

    fn items(folder: &Path) -> Vec<Item> {
        let item = |from: &str, to: &str, kind| {
            fs::write(folder.join(from), from).unwrap();
            Item {
                from: folder.join(from),
                to: to.to_owned(),
                kind,
            }
        };
        vec![
            item("readme", "share/doc/p/README.md", Kind::Text),
            item("program", "bin/p", Kind::Program),
            item("long", &format!("share/{}", "x".repeat(150)), Kind::Text),
        ]
    }

    #[test]
    fn the_same_content_gives_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let mut items = items(folder.path());
        let mut threads = 0;
        let mut pack = |items: &[Item]| {
            let mut bytes = Vec::new();
            threads = threads % 4 + 1;
            pack(&mut bytes, "p-1.0.0", items, 1_000_000_000, at_level_1(threads)).unwrap();
            bytes
        };
        let first = pack(&items);
        items.reverse();
        // Its time, and who may read it, do not matter.
        fs::write(folder.path().join("program"), "program").unwrap();
        assert_eq!(first, pack(&items));
        fs::write(folder.path().join("program"), "Program").unwrap();
        assert_ne!(first, pack(&items));
    }

    #[test]
    fn the_archive_has_one_folder_sorted_and_owned_by_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = make(
            &folder.path().join("dist"),
            "p-1.0.0",
            &items(folder.path()),
            7,
            at_level_1(2),
            &Cancel::new(),
        )
        .unwrap();
        let bytes = fs::read(&path).unwrap();
        let mut tar = Archive::new(XzDecoder::new(bytes.as_slice()));
        let mut names = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!(
                (
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    header.mtime().unwrap()
                ),
                (0, 0, 7)
            );
            let mode = header.mode().unwrap();
            let name = entry.path().unwrap().display().to_string();
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            names.push(format!("{mode:o} {name} {content}"));
        }
        assert_eq!(
            names[..5],
            [
                "755 p-1.0.0/ ",
                "755 p-1.0.0/bin/ ",
                "755 p-1.0.0/share/ ",
                "755 p-1.0.0/share/doc/ ",
                "755 p-1.0.0/share/doc/p/ ",
            ]
        );
        assert_eq!(
            names[5..7],
            [
                "755 p-1.0.0/bin/p program",
                "644 p-1.0.0/share/doc/p/README.md readme"
            ]
        );
        assert!(names[7].ends_with("xxx long"));
        let sum = fs::read_to_string(folder.path().join("dist/p-1.0.0.tar.xz.sha256")).unwrap();
        assert_eq!(sum, format!("{}  p-1.0.0.tar.xz\n", hex(&Sha256::digest(&bytes))));
        assert_eq!(fs::read_dir(folder.path().join("dist")).unwrap().count(), 2);
    }

    #[test]
    fn a_missing_file_is_named_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let gone = Item {
            from: folder.path().join("gone"),
            to: "bin/gone".to_owned(),
            kind: Kind::Program,
        };
        let dist = folder.path().join("dist");
        let error = make(&dist, "p", &[gone], 0, at_level_1(1), &Cancel::new()).unwrap_err();
        assert!(error.to_string().contains("gone"), "{error}");
        assert_eq!(fs::read_dir(dist).unwrap().count(), 0);
    }
}
