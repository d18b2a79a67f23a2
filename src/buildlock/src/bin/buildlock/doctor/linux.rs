//! The file systems that Linux knows.

use std::path::Path;

/// The kind of a folder's file system, and what its locks are known for (statfs(2), flock(2)).
pub(super) fn file_system(dir: &Path) -> Option<String> {
    let kind = match rustix::fs::statfs(dir).ok()?.f_type as u64 {
        0xef53 => "ext4",
        0x0102_1994 => "tmpfs",
        0x5846_5342 => "xfs",
        0x9123_683e => "btrfs",
        0x2fc1_2fc1 => "zfs",
        0x794c_7630 => "overlayfs: locks do not cross containers that have upper layers of their own",
        0x6969 => "NFS: locks go to the server, which must run a lock manager",
        0x0102_1997 => "9P: locks may be refused or local to this machine",
        0xff53_4d42 | 0xfe53_4d42 => "CIFS: locks may be refused, or mandatory",
        0x6573_5546 => "FUSE: locks depend on the program behind it",
        other => return Some(format!("unknown (statfs type {other:#x})")),
    };
    Some(kind.to_owned())
}
