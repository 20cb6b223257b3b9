//! A disk of its own for a daemon: a file system on a loop device over an image. Its current can be cut: the file system
//! stops between two writes, and what of it is on the disk (the image, read without the page cache) is what is left.
//!
//! Needs root, a loop device and python3 (for one ioctl). Where a machine permits none of this the tests say so aloud and
//! fail: the same promises are then judged only by the simulated disk in `store::embedded::tests::power`.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// Stops a process and at once its file system, whose journal is not written: EXT4_IOC_SHUTDOWN with
/// EXT4_GOING_FLAGS_NOLOGFLUSH. The process first, until none of its threads runs: while a file system is being stopped
/// Linux (6.18 too) tells some callers of fdatasync that all is well, and what they wrote is not there. A real cut leaves
/// nobody who could believe that and answer; who is in the kernel waiting for the disk stays there and is cut off.
const STOP: &str = "\
import fcntl, os, signal, struct, sys
disk = os.open(sys.argv[1], os.O_RDONLY)
tasks = '/proc/' + sys.argv[2] + '/task/'
def runs(task):
    try:
        return open(tasks + task + '/stat').read().rpartition(')')[2].split()[0] in 'RS'
    except OSError:
        return False
os.kill(int(sys.argv[2]), signal.SIGSTOP)
while any(map(runs, os.listdir(tasks))):
    pass
fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))
";

pub struct Disk {
    folder: TempDir,
    image: PathBuf,
    /// The loop device, while there is one.
    device: Option<String>,
    mounted: bool,
}

impl Disk {
    /// An empty ext4 file system of `megabytes`, mounted.
    pub fn new(megabytes: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("chasqui-crash-").tempdir().expect("a temporary folder");
        let image = folder.path().join("image");
        run("truncate", &["-s", &format!("{megabytes}M"), path(&image)]);
        std::fs::create_dir(folder.path().join("mount")).expect("a folder");
        let mut disk = Self { folder, image, device: None, mounted: false };
        run("mkfs.ext4", &["-q", "-F", "-m", "0", path(&disk.image)]);
        disk.mount();
        disk
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("mount")
    }

    fn mount(&mut self) {
        // Direct: what the file system hands over is in the image, not in a cache of ours.
        let device = run("losetup", &["--find", "--show", "--direct-io=on", path(&self.image)]);
        run("mount", &[&device, path(&self.root())]);
        (self.device, self.mounted) = (Some(device), true);
    }

    fn unmount(&mut self) {
        if std::mem::take(&mut self.mounted) {
            run("umount", &[path(&self.root())]);
        }
        if let Some(device) = self.device.take() {
            run("losetup", &["--detach", &device]);
        }
    }

    /// The current goes while the process `id` writes to the disk: from now on it does nothing, and nothing reaches the disk.
    pub fn cut(&self, id: u32) {
        run("python3", &["-c", STOP, path(&self.root()), &id.to_string()]);
    }

    /// After [`Disk::cut`], with the process killed: what was on the disk is copied past the page cache, and the copy
    /// is mounted in its place.
    pub fn come_back(&mut self) {
        let copy = self.folder.path().join("copy");
        let (from, to) = (format!("if={}", path(&self.image)), format!("of={}", path(&copy)));
        run("dd", &[&from, &to, "bs=1M", "iflag=direct", "conv=sparse", "status=none"]);
        self.unmount();
        std::fs::rename(&copy, &self.image).expect("the copy takes the image's place");
        self.mount();
    }

    pub fn remount(&self, how: &str) {
        run("mount", &["-o", &format!("remount,{how}"), path(&self.root())]);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A process may be on it still; it goes when that does.
            Command::new("umount").args(["--lazy", path(&self.root())]).status().ok();
            self.mounted = false;
            if let Some(device) = self.device.take() {
                Command::new("losetup").args(["--detach", &device]).status().ok();
            }
        } else {
            self.unmount();
        }
    }
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Runs a program of the system and gives what it says.
fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("{program} is needed for the tests on a disk of their own: {e}"));
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).trim().to_owned());
    assert!(
        output.status.success(),
        "THE TESTS ON A DISK OF THEIR OWN CANNOT RUN HERE (they need root and a loop device): {program} {args:?}: {err}"
    );
    out
}
