//! The real binary as child processes: their output kept and shown when a test fails, and none outlives its test.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

/// Lines of a process's output shown when its test fails.
const SHOWN: usize = 60;

/// The binary that is judged; `CHASQUI_BIN` names another.
pub fn binary() -> PathBuf {
    std::env::var_os("CHASQUI_BIN").map_or_else(|| env!("CARGO_BIN_EXE_chasqui").into(), PathBuf::from)
}

/// `chasqui ARGS` with nothing of the caller's configuration in its environment.
pub fn command(binary: &Path, dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(args).current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHASQUI") || name == OsStr::new("RUST_LOG") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs `chasqui ARGS` to its end.
pub fn run(dir: &Path, args: &[&str]) -> Output {
    command(&binary(), dir, args).output().expect("the binary starts")
}

/// What a finished command said, for a message.
pub fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    format!("{}\n{out}\n{err}", output.status)
}

/// A process that goes on until it is killed or dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `chasqui ARGS`; its output is added to `NAME.log` in `dir`.
    pub fn start(binary: &Path, name: &str, dir: &Path, args: &[&str]) -> Self {
        Self::start_with(binary, name, dir, args, &[])
    }

    /// The same with more in its environment.
    pub fn start_with(binary: &Path, name: &str, dir: &Path, args: &[&str], environment: &[(String, String)]) -> Self {
        let log = dir.join(format!("{name}.log"));
        let open = || File::options().create(true).append(true).open(&log).expect("the log file");
        let mut command = command(binary, dir, args);
        command.envs(environment.iter().cloned());
        let child = command.stdout(open()).stderr(open()).spawn().expect("the binary starts");
        Self { child, name: name.to_owned(), log }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `Err` with its output if it has ended by itself.
    pub fn alive(&mut self) -> Result<(), String> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("{} ended with {status}\n{}", self.name, self.tail())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// SIGKILL: it gets no chance to save anything.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().expect("the process ends");
    }

    /// SIGTERM, and waits for the end that the process makes itself.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        // The shell has one built in; a machine without procps has no other.
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.id())]).status().expect("a shell");
        assert!(sent.success(), "{} cannot be signalled", self.name);
        self.child.wait().expect("the process ends")
    }

    fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- last lines of {}\n{}", self.name, self.tail());
        }
    }
}
