//! Unpacks an archive of the rust-installer's layout: `<name>/<component>/<path>`, of which `<path>` is kept.
//!
//! An archive whose sum is pinned can be trusted; all the same nothing here writes outside the folder, follows a link, or
//! fills the disk, whoever made the pin.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use liblzma::read::XzDecoder;
use tar::{Archive, Entry, EntryType};

use super::cancelled;
use crate::error::Error;
use crate::interrupt::Interrupts;

/// How many files an archive may have. The largest of Rust's, its documentation, has about fifty thousand.
const ENTRIES_MAX: u64 = 1 << 20;
/// How much it may become, in bytes.
const SIZE_MAX: u64 = 8 << 30;
/// How deep its folders may nest.
const DEPTH_MAX: usize = 64;

/// How much may follow the last entry, in bytes: padding.
const REST_MAX: u64 = 1 << 20;

/// What the installer itself keeps in each component's folder.
const INSTALLERS_OWN: &str = "manifest.in";

/// Unpacks a `.tar.xz` into a folder that nobody else writes to. Several archives may go into one.
pub(super) fn unpack(
    archive: &Path,
    file: impl Read,
    into: &Path,
    interrupts: &Interrupts,
) -> Result<(), Error> {
    let mut tree = Tree {
        root: into,
        folders: HashSet::new(),
        room: SIZE_MAX,
    };
    // An .xz file may be several streams in a row.
    let mut tar = Archive::new(io::BufReader::with_capacity(
        1 << 16,
        XzDecoder::new_multi_decoder(file),
    ));
    let broken = |e: io::Error| Error::io("cannot unpack", archive, e);
    let mut count = 0;
    for entry in tar.entries().map_err(broken)? {
        if interrupts.cancel().is_cancelled() {
            return Err(cancelled(interrupts));
        }
        count += 1;
        if count > ENTRIES_MAX {
            return Err(refused(archive, &format!("it has more than {ENTRIES_MAX} files")));
        }
        tree.take(entry.map_err(broken)?)
            .map_err(|refusal| match refusal {
                Refusal::Entry(why) => refused(archive, &why),
                Refusal::Io(path, e) => {
                    Error::io(&format!("cannot unpack `{}` to", archive.display()), path, e)
                }
            })?;
    }
    // What follows the last entry holds no files, but the checksum that says whether those before are whole.
    let rest = io::copy(&mut tar.into_inner().take(REST_MAX + 1), &mut io::sink()).map_err(broken)?;
    if rest > REST_MAX {
        return Err(refused(archive, "it goes on after its end"));
    }
    Ok(())
}

fn refused(archive: &Path, why: &str) -> Error {
    Error::environment(format!("refusing to unpack `{}`: {why}", archive.display()))
        .advice("it has the pinned sum, so do not use this dist server or this pin")
}

/// Why an entry is not unpacked.
enum Refusal {
    /// It must not be.
    Entry(String),
    /// It could not be.
    Io(PathBuf, io::Error),
}

/// The folder that is being filled.
struct Tree<'a> {
    root: &'a Path,
    /// The folders, relative to the root, that are known to be folders and not links.
    folders: HashSet<PathBuf>,
    /// How many bytes may still come.
    room: u64,
}

impl Tree<'_> {
    fn take<R: Read>(&mut self, mut entry: Entry<'_, R>) -> Result<(), Refusal> {
        let name = entry
            .path()
            .map_err(|e| Refusal::Io(self.root.to_owned(), e))?
            .into_owned();
        let bad = |why: &str| Refusal::Entry(format!("`{}` {why}", name.display()));
        let Some(path) = inside_component(&name).map_err(bad)? else {
            return Ok(());
        };
        match entry.header().entry_type() {
            EntryType::Directory => self.make_folder(&path),
            EntryType::Regular | EntryType::Continuous => {
                self.room = self
                    .room
                    .checked_sub(entry.size())
                    .ok_or_else(|| bad("makes it too large"))?;
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
                self.make_parent(&path)?;
                let target = self.root.join(&path);
                write_file(&target, &mut entry, executable).map_err(|e| Refusal::Io(target, e))
            }
            EntryType::Symlink => {
                let to = entry
                    .link_name()
                    .ok()
                    .flatten()
                    .ok_or_else(|| bad("is a link to nowhere"))?;
                if !stays_inside(&path, &to) {
                    return Err(bad(&format!("is a link that leads out, to `{}`", to.display())));
                }
                self.make_parent(&path)?;
                let target = self.root.join(&path);
                symlink(&to, &target).map_err(|e| Refusal::Io(target, e))
            }
            other => Err(bad(&format!(
                "is neither file, folder nor symbolic link, but {other:?}"
            ))),
        }
    }

    fn make_parent(&mut self, path: &Path) -> Result<(), Refusal> {
        path.parent().map_or(Ok(()), |parent| self.make_folder(parent))
    }

    /// Makes a folder and those above it, none of which may be a link.
    fn make_folder(&mut self, path: &Path) -> Result<(), Refusal> {
        if path.as_os_str().is_empty() || self.folders.contains(path) {
            return Ok(());
        }
        self.make_parent(path)?;
        let target = self.root.join(path);
        let made = match fs::create_dir(&target) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::symlink_metadata(&target).map(|m| m.is_dir())
            }
            done => done.map(|()| true),
        };
        match made {
            Ok(true) => {
                self.folders.insert(path.to_owned());
                Ok(())
            }
            Ok(false) => Err(Refusal::Entry(format!(
                "`{}` would be written through a link or a file",
                path.display()
            ))),
            Err(e) => Err(Refusal::Io(target, e)),
        }
    }
}

/// What is left of a name below `<name>/<component>/`; nothing for what belongs to the installer.
fn inside_component(name: &Path) -> Result<Option<PathBuf>, &'static str> {
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => parts.push(part),
            Component::CurDir => {}
            Component::ParentDir => return Err("leads out of the folder"),
            Component::RootDir | Component::Prefix(_) => return Err("is absolute"),
        }
    }
    if parts.len() > DEPTH_MAX {
        return Err("nests too deep");
    }
    let inside: PathBuf = parts.iter().skip(2).collect();
    let ours = !inside.as_os_str().is_empty() && inside != Path::new(INSTALLERS_OWN);
    Ok(ours.then_some(inside))
}

/// Whether a link at `path` that says `to` stays in the tree.
///
/// Only leading `..`s are let through: those are counted from real folders. What comes after may pass through other links,
/// of which each stays inside.
fn stays_inside(path: &Path, to: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    let mut down = false;
    for part in to.components() {
        match part {
            Component::Normal(_) => down = true,
            Component::CurDir => {}
            Component::ParentDir if !down && depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

fn write_file(path: &Path, content: &mut impl Read, executable: bool) -> io::Result<()> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if executable { 0o755 } else { 0o644 });
    #[cfg(not(unix))]
    let _ = executable;
    let mut file = options.open(path)?;
    io::copy(content, &mut file)?;
    file.flush()?;
    // The rename that comes later must not reach the disk before this.
    file.sync_all()
}

#[cfg(unix)]
pub(super) fn symlink(to: &Path, at: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(to, at)
}

#[cfg(windows)]
pub(super) fn symlink(to: &Path, at: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(to, at)
}

#[cfg(test)]
pub(super) mod tests {
    use liblzma::write::XzEncoder;
    use tar::{Builder, Header};

    use super::*;

    /// An archive with these entries: a name, and a file's content or what kind of other entry it is.
    pub(in crate::stage0) fn archive(entries: &[(&str, What<'_>)]) -> Vec<u8> {
        let mut tar = Builder::new(XzEncoder::new(Vec::new(), 0));
        for (name, what) in entries {
            let mut header = Header::new_gnu();
            let content = match what {
                What::File(content) | What::Program(content) => *content,
                _ => "",
            };
            header.set_mode(if matches!(what, What::Program(_)) {
                0o755
            } else {
                0o644
            });
            header.set_size(content.len() as u64);
            header.set_entry_type(match what {
                What::File(_) | What::Program(_) => EntryType::Regular,
                What::Link(_) => EntryType::Symlink,
                What::HardLink(_) => EntryType::Link,
                What::Device => EntryType::Char,
            });
            if let What::Link(to) | What::HardLink(to) = what {
                header.as_gnu_mut().unwrap().linkname[..to.len()].copy_from_slice(to.as_bytes());
            }
            // Written by hand, because the crate refuses to make the names that are tested here.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap().finish().unwrap()
    }

    #[derive(Clone, Copy)]
    pub(in crate::stage0) enum What<'a> {
        File(&'a str),
        Program(&'a str),
        Link(&'a str),
        HardLink(&'a str),
        Device,
    }

    fn unpacked(entries: &[(&str, What<'_>)]) -> (tempfile::TempDir, Result<(), Error>) {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("in");
        fs::create_dir(&into).unwrap();
        let done = unpack(
            Path::new("a.tar.xz"),
            archive(entries).as_slice(),
            &into,
            &Interrupts::default(),
        );
        (folder, done)
    }

    #[test]
    #[cfg_attr(windows, ignore = "wine makes no links, and Windows only for administrators")]
    fn components_are_laid_over_each_other_without_what_is_the_installers() {
        let (folder, done) = unpacked(&[
            ("r-1/components", What::File("rustfmt-preview\n")),
            ("r-1/install.sh", What::Program("#!/bin/sh")),
            ("r-1/rustfmt-preview/manifest.in", What::File("file:bin/rustfmt")),
            ("r-1/rustfmt-preview/bin/rustfmt", What::Program("elf")),
            ("r-1/rustfmt-preview/share/doc/a", What::File("doc")),
            ("r-1/other/lib/libx.so", What::Link("../bin/rustfmt")),
        ]);
        done.unwrap();
        let root = folder.path().join("in");
        let mut names: Vec<_> = fs::read_dir(&root)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["bin", "lib", "share"]);
        assert_eq!(fs::read_to_string(root.join("lib/libx.so")).unwrap(), "elf");
        #[cfg(unix)]
        {
            let mode = |path| std::os::unix::fs::MetadataExt::mode(&fs::metadata(root.join(path)).unwrap());
            assert_eq!(
                (mode("bin/rustfmt") & 0o777, mode("share/doc/a") & 0o777),
                (0o755, 0o644)
            );
        }
    }

    #[test]
    fn nothing_leaves_the_folder() {
        for (name, what) in [
            ("/etc/a/passwd", What::File("x")),
            ("a/b/../../../c", What::File("x")),
            ("../b/c/d", What::File("x")),
            ("a/b/dev", What::Device),
            ("a/b/hard", What::HardLink("/etc/passwd")),
            ("a/b/link", What::Link("/etc/passwd")),
            ("a/b/link", What::Link("..")),
            ("a/b/c/link", What::Link("../../x")),
            ("a/b/c/link", What::Link("d/../../x")),
        ] {
            let (folder, done) = unpacked(&[(name, what)]);
            let error = done.expect_err(name);
            assert!(
                error.to_string().contains("refusing to unpack"),
                "{name}: {error}"
            );
            let beside = fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(beside, 1, "{name} left something behind");
        }
    }

    #[test]
    #[cfg_attr(windows, ignore = "wine makes no links, and Windows only for administrators")]
    fn nothing_is_written_through_a_link() {
        let (folder, done) = unpacked(&[
            ("a/b/lib", What::File("x")),
            ("a/b/d/l", What::Link("../e")),
            ("a/b/e/f", What::File("x")),
            ("a/b/d/l/f2", What::File("x")),
        ]);
        assert!(done.unwrap_err().to_string().contains("through a link"));
        assert!(!folder.path().join("in/e/f2").exists());
        let (_folder, done) = unpacked(&[("a/b/f", What::Link("g")), ("a/b/f", What::File("x"))]);
        assert!(done.is_err(), "a file replaced a link");
    }

    #[test]
    fn a_truncated_archive_is_an_error() {
        let whole = archive(&[("a/b/c", What::File("content"))]);
        let folder = tempfile::tempdir().unwrap();
        for length in [0, whole.len() / 2, whole.len() - 1] {
            let done = unpack(
                Path::new("a"),
                &whole[..length],
                folder.path(),
                &Interrupts::default(),
            );
            assert!(done.is_err(), "{length} bytes of {}", whole.len());
            let _ = fs::remove_file(folder.path().join("c"));
        }
    }

    #[test]
    fn unpacking_can_be_cancelled() {
        let interrupts = Interrupts::default();
        interrupts.cancel().cancel();
        let folder = tempfile::tempdir().unwrap();
        let bytes = archive(&[("a/b/c", What::File("content"))]);
        let error = unpack(Path::new("a"), bytes.as_slice(), folder.path(), &interrupts).unwrap_err();
        assert!(error.to_string().contains("cancelled"), "{error}");
    }
}
