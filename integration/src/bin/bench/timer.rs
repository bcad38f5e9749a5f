//! Starting a program and waiting for it, and nothing else, between two looks at the clock.

use std::ffi::CString;
use std::mem::zeroed;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::ptr::null;
use std::time::Instant;

/// A command line, ready to be executed.
pub struct Call(Vec<CString>);

impl Call {
    pub fn new(words: impl IntoIterator<Item = impl AsRef<std::ffi::OsStr>>) -> Call {
        use std::os::unix::ffi::OsStrExt;
        let words = words.into_iter().map(|word| CString::new(word.as_ref().as_bytes()).expect("no NUL in a word"));
        Call(words.collect())
    }
}

/// Microseconds, or nothing where the call failed.
pub type Taken = Option<f64>;

pub struct Timer {
    null: OwnedFd,
    environment: CString,
    shown: Vec<CString>,
    quiet: bool,
}

impl Timer {
    pub fn new() -> Timer {
        let null = std::fs::File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
        let environment = c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned();
        Timer { null: null.into(), environment, shown: Vec::new(), quiet: false }
    }

    /// One whose calls may fail.
    pub fn quiet() -> Timer {
        Timer { quiet: true, ..Timer::new() }
    }

    /// Runs it with its streams on /dev/null. The first failure of each program is told.
    pub fn time(&mut self, call: &Call) -> Taken {
        let words: Vec<_> = call.0.iter().map(|word| word.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect();
        let env = [self.environment.as_ptr().cast_mut(), std::ptr::null_mut()];
        // SAFETY: the C library's own type, made by its own function.
        let mut actions: libc::posix_spawn_file_actions_t = unsafe { zeroed() };
        let mut pid = 0;
        let mut status = 0;
        // SAFETY: terminated lists of terminated strings that outlive the calls.
        let (begin, spawned) = unsafe {
            libc::posix_spawn_file_actions_init(&mut actions);
            for fd in 0..3 {
                libc::posix_spawn_file_actions_adddup2(&mut actions, self.null.as_raw_fd(), fd);
            }
            let begin = Instant::now();
            let spawned =
                libc::posix_spawn(&mut pid, words[0], &actions, null(), words.as_ptr().cast(), env.as_ptr().cast());
            (begin, spawned)
        };
        // SAFETY: our own child, and a place for its status.
        let waited = spawned == 0 && unsafe { libc::waitpid(pid, &mut status, 0) } == pid;
        let taken = begin.elapsed().as_secs_f64() * 1e6;
        // SAFETY: made above.
        unsafe { libc::posix_spawn_file_actions_destroy(&mut actions) };
        if waited && status == 0 {
            return Some(taken);
        }
        self.tell_once(call);
        None
    }

    fn tell_once(&mut self, call: &Call) {
        if !self.quiet && !self.shown.contains(&call.0[0]) {
            self.shown.push(call.0[0].clone());
            let words: Vec<_> = call.0.iter().map(|word| word.to_string_lossy()).collect();
            let again = std::process::Command::new(&*words[0]).args(words[1..].iter().map(|word| &**word)).output();
            let why = again
                .map_or_else(|error| error.to_string(), |out| String::from_utf8_lossy(&out.stderr).trim().to_owned());
            eprintln!("failed: {}: {why}", words.join(" "));
        }
    }
}

/// Real-time priority, which children inherit: whatever else runs here waits. Says whether that was granted. Orphans
/// of created containers come to us, so that the next round does not begin among zombies.
pub fn steady() -> bool {
    let priority = libc::sched_param { sched_priority: 20, ..unsafe_zeroed() };
    // SAFETY: flags only, and a structure that outlives the call.
    unsafe {
        libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
        // musl's own sched_setscheduler only answers ENOSYS.
        libc::syscall(libc::SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &priority) == 0
    }
}

fn unsafe_zeroed() -> libc::sched_param {
    // SAFETY: plain integers.
    unsafe { zeroed() }
}

pub fn reap_orphans() {
    // SAFETY: no pointer is read.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}
