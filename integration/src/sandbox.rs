//! One test's private corner of the machine.

use crate::leaks::{self, Before};
use crate::outcome::{Outcome, Running, copy_program, no_input};
use crate::{Bundle, probe_bin, rt_bin, sys};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

const CGROUPS: &str = "/sys/fs/cgroup";

/// See the crate's page. `root` runs are the default; [`Sandbox::as_user`] makes every later call an unprivileged one.
pub struct Sandbox {
    dir: PathBuf,
    cgroup: String,
    user: Option<u32>,
    rt: PathBuf,
    calls: Cell<u32>,
    before: Before,
    /// Where this process was before it moved into the user's cgroup.
    left: Option<String>,
    /// Sandboxes live on the thread that has the mount namespace.
    _this_thread: std::marker::PhantomData<*const ()>,
}

impl Sandbox {
    /// With private mount propagation, as most containers' hosts in a test have it.
    ///
    /// # Errors
    /// What this machine lacks.
    pub fn new() -> Result<Sandbox, String> {
        Sandbox::with_propagation(libc::MS_PRIVATE)
    }

    /// With every mount shared, as systemd sets a host up: what rt mounts carelessly appears in the leak check.
    ///
    /// # Errors
    /// What this machine lacks.
    pub fn shared() -> Result<Sandbox, String> {
        Sandbox::with_propagation(libc::MS_SHARED)
    }

    fn with_propagation(propagation: libc::c_ulong) -> Result<Sandbox, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        if sys::effective_uid() != 0 {
            return Err("needs root".to_owned());
        }
        let what = |step: &'static str| move |error: std::io::Error| format!("{step}: {error}");
        sys::unshare_mounts().map_err(what("a mount namespace of the test's own"))?;
        let root = Path::new("/");
        sys::mount("none", root, "", libc::MS_REC | libc::MS_PRIVATE, "").map_err(what("private mounts"))?;
        mount_cgroups().map_err(what("a cgroup2 hierarchy"))?;
        let kept = open_kept();
        sys::mount("run", Path::new("/run"), "tmpfs", 0, "mode=755").map_err(what("a tmpfs on /run"))?;
        bind_kept(&kept).map_err(what("systemd's directories"))?;
        let dir = PathBuf::from("/run/t");
        fs::create_dir(&dir).map_err(what("the scratch directory"))?;
        sys::mount("scratch", &dir, "tmpfs", 0, "mode=755").map_err(what("the scratch tmpfs"))?;
        sys::mount("none", root, "", libc::MS_REC | propagation, "").map_err(what("propagation"))?;
        copy_program(probe_bin(), &dir.join("probe")).map_err(what("the probe"))?;
        let cgroup = format!("/rt-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        fs::create_dir(format!("{CGROUPS}{cgroup}")).map_err(what("the test's cgroup"))?;
        let before = Before::take(&dir);
        Ok(Sandbox {
            dir,
            cgroup,
            user: None,
            rt: rt_bin().to_owned(),
            calls: Cell::new(0),
            before,
            left: None,
            _this_thread: std::marker::PhantomData,
        })
    }

    /// Makes every later call that of this unprivileged user, with a scratch directory and an XDG_RUNTIME_DIR of its own.
    #[must_use]
    pub fn as_user(mut self, uid: u32) -> Sandbox {
        let (home, runtime) = (self.dir.join(format!("user-{uid}")), self.dir.join(format!("xdg-{uid}")));
        for dir in [&home, &runtime] {
            fs::create_dir(dir).expect("a scratch directory");
            chown(dir, Some(uid), Some(uid)).expect("chown");
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("chmod");
        }
        self.user = Some(uid);
        self
    }

    /// Makes every later call one of a copy, of a file that no other test executes.
    #[must_use]
    pub fn with_own_rt(mut self) -> Sandbox {
        let own = self.dir.join("own");
        fs::create_dir(&own).expect("a directory");
        self.rt = own.join(rt_bin().file_name().expect("a name"));
        copy_program(rt_bin(), &self.rt).expect("a copy of rt");
        // What leaves out a step of rt knows by its name which, and runs the rt beside it.
        let beside = rt_bin().with_file_name("rt");
        if beside != rt_bin() && beside.exists() {
            copy_program(&beside, &own.join("rt")).expect("a copy of rt");
        }
        self
    }

    /// Gives the test, and every later call, a network of its own: what the runtime takes for the host's.
    #[must_use]
    pub fn with_network(self) -> Sandbox {
        sys::unshare_network().expect("a network namespace of the test's own");
        self
    }

    /// Gives the user the test's cgroup, as systemd gives a user his own, and moves this process into it: a cgroup is
    /// delegated to who is below it (cgroup-v2.rst, "Delegation Containment").
    #[must_use]
    pub fn delegated(mut self) -> Sandbox {
        let own = fs::read_to_string("/proc/self/cgroup").expect("procfs");
        let own = own.lines().find_map(|line| line.strip_prefix("0::")).expect("cgroup v2");
        self.left = Some(own.trim_end_matches('/').to_owned());
        let dir = PathBuf::from(format!("{CGROUPS}{}", self.cgroup));
        for name in ["", "cgroup.procs", "cgroup.threads", "cgroup.subtree_control"] {
            chown(dir.join(name), self.user, self.user).expect("a cgroup of the user's own");
        }
        let own = dir.join("caller");
        fs::create_dir(&own).expect("a cgroup");
        chown(&own, self.user, self.user).expect("chown");
        chown(own.join("cgroup.procs"), self.user, self.user).expect("chown");
        fs::write(own.join("cgroup.procs"), std::process::id().to_string()).expect("this process in it");
        self
    }

    /// The whole scratch tmpfs, whoever calls.
    pub fn scratch(&self) -> PathBuf {
        self.dir.clone()
    }

    /// The file of rt that is called.
    pub fn rt_bin(&self) -> &Path {
        &self.rt
    }

    pub fn user(&self) -> Option<u32> {
        self.user
    }

    /// The scratch tmpfs; the user's part of it if there is a user.
    pub fn dir(&self) -> PathBuf {
        self.user.map_or(self.dir.clone(), |uid| self.dir.join(format!("user-{uid}")))
    }

    /// Where this sandbox's rt keeps its state.
    pub fn state_dir(&self) -> PathBuf {
        self.user.map_or(self.dir.join("state"), |uid| self.dir.join(format!("xdg-{uid}/rt")))
    }

    /// The probe on the scratch filesystem: rootfs link to it, and hooks may call it.
    pub fn probe(&self) -> PathBuf {
        self.dir.join("probe")
    }

    /// The test's cgroup in the hierarchy; every bundle's cgroup is below it.
    pub fn cgroup(&self) -> &str {
        &self.cgroup
    }

    pub fn cgroup_dir(&self, id: &str) -> PathBuf {
        PathBuf::from(format!("{CGROUPS}{}/{id}", self.cgroup))
    }

    /// Whether the hierarchy has this controller at its root.
    pub fn has_controller(&self, name: &str) -> bool {
        let all = fs::read_to_string(format!("{CGROUPS}/cgroup.controllers")).unwrap_or_default();
        all.split_whitespace().any(|controller| controller == name)
    }

    /// A bundle with the default config; nothing is written before it is used.
    pub fn bundle(&self, id: &str) -> Bundle<'_> {
        Bundle::new(self, id)
    }

    /// rt with this sandbox's `--root`, ready to be changed and given to [`Sandbox::finish`] or [`Sandbox::spawn`].
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command_of_root(args);
        if let Some(uid) = self.user {
            // std also clears the supplementary groups when root changes user.
            command.uid(uid).gid(uid);
        }
        command
    }

    /// The same for a caller that becomes the sandbox's user by himself.
    pub fn command_of_root<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(&self.rt);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").stdin(no_input());
        if let Some(uid) = self.user {
            command.env("XDG_RUNTIME_DIR", self.dir.join(format!("xdg-{uid}")));
        }
        command.current_dir(self.dir()).arg("--root").arg(self.state_dir()).args(args);
        command
    }

    /// Calls rt and waits for it, with a time limit.
    #[track_caller]
    pub fn rt<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Outcome {
        self.finish(self.command(args))
    }

    #[track_caller]
    pub fn finish(&self, command: Command) -> Outcome {
        self.spawn(command).wait()
    }

    /// Starts a call whose standard output is the test's affair.
    #[track_caller]
    pub fn spawn_as_is(&self, command: Command) -> Running {
        self.calls.set(self.calls.get() + 1);
        Running::start_beside(command, self.dir.join(format!("call-{}", self.calls.get())))
    }

    /// Starts a call and goes on; dropping it kills it.
    #[track_caller]
    pub fn spawn(&self, command: Command) -> Running {
        self.calls.set(self.calls.get() + 1);
        Running::start(command, self.dir.join(format!("call-{}", self.calls.get())))
    }
}

/// Where a host's systemd is reached: the only part of its /run that a sandbox keeps.
fn open_kept() -> Vec<(&'static str, fs::File)> {
    let open = |dir| Some((dir, fs::File::open(dir).ok()?));
    if !systemd_runs() {
        return Vec::new();
    }
    ["/run/systemd", "/run/dbus", "/run/user"].into_iter().filter_map(open).collect()
}

fn bind_kept(kept: &[(&str, fs::File)]) -> std::io::Result<()> {
    use std::os::fd::AsRawFd;
    for (dir, file) in kept {
        fs::create_dir(dir)?;
        let source = format!("/proc/thread-self/fd/{}", file.as_raw_fd());
        sys::mount(&source, Path::new(dir), "", libc::MS_BIND | libc::MS_REC, "")?;
    }
    Ok(())
}

/// sd_booted(3).
pub fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Replaces whatever cgroup hierarchies there are by the second version alone; the namespace is the test's own.
fn mount_cgroups() -> std::io::Result<()> {
    let at = Path::new(CGROUPS);
    if at.join("cgroup.controllers").exists() {
        // Another mount would set the options of them all, and so lose the host's `nsdelegate`.
        return Ok(());
    }
    // Layers may lie on one another; sysfs itself is the end.
    while sys::detach(at).is_ok() {}
    sys::mount("cgroup2", at, "cgroup2", libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC, "")
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(cgroup) = &self.left {
            fs::write(format!("{CGROUPS}{cgroup}/cgroup.procs"), std::process::id().to_string()).expect("back");
            for path in ["caller", ""].map(|name| format!("{CGROUPS}{}/{name}", self.cgroup)) {
                let _ = fs::remove_dir(path);
            }
        }
        let found =
            leaks::find(&self.before, &self.dir, &self.state_dir(), Path::new(&format!("{CGROUPS}{}", self.cgroup)));
        leaks::clean(&self.before, Path::new(&format!("{CGROUPS}{}", self.cgroup)));
        if found.is_empty() {
            return;
        }
        let list = format!("left behind:\n  {}", found.join("\n  "));
        if std::thread::panicking() {
            eprintln!("{list}");
        } else {
            panic!("{list}");
        }
    }
}
