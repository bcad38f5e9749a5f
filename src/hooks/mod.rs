//! The six kinds of hooks (config.md, "POSIX-platform Hooks").

mod run;

pub use run::run;

use crate::spec::{Code, Findings};
use anyhow::{Context, Result, bail};
use oci_spec::runtime::{Hook, Hooks, Spec};
use std::ffi::CString;
use std::time::Duration;

/// One hook, ready to be run.
#[derive(Debug)]
pub struct HookPlan {
    pub path: CString,
    pub args: Vec<CString>,
    pub env: Vec<CString>,
    pub timeout: Option<Duration>,
}

/// All hooks of a container, by kind.
#[derive(Debug, Default)]
pub struct HookPlans {
    pub prestart: Vec<HookPlan>,
    pub create_runtime: Vec<HookPlan>,
    pub create_container: Vec<HookPlan>,
    pub start_container: Vec<HookPlan>,
    pub poststart: Vec<HookPlan>,
    pub poststop: Vec<HookPlan>,
}

impl HookPlans {
    /// Whether any hook runs between the making of the rootfs and the pivot.
    pub fn before_pivot(&self) -> bool {
        !(self.prestart.is_empty() && self.create_runtime.is_empty() && self.create_container.is_empty())
    }
}

/// Plans `hooks`: those that are right.
pub fn plan(spec: &Spec, findings: &mut Findings) -> HookPlans {
    let Some(hooks) = spec.hooks() else { return HookPlans::default() };
    HookPlans {
        prestart: plan_list(prestart(hooks), "prestart", findings),
        create_runtime: plan_list(hooks.create_runtime(), "createRuntime", findings),
        create_container: plan_list(hooks.create_container(), "createContainer", findings),
        start_container: plan_list(hooks.start_container(), "startContainer", findings),
        poststart: plan_list(hooks.poststart(), "poststart", findings),
        poststop: plan_list(hooks.poststop(), "poststop", findings),
    }
}

/// Deprecated in the specification, and used by callers all the same.
#[allow(deprecated)]
fn prestart(hooks: &Hooks) -> &Option<Vec<Hook>> {
    hooks.prestart()
}

fn plan_list(hooks: &Option<Vec<Hook>>, kind: &str, findings: &mut Findings) -> Vec<HookPlan> {
    let listed = hooks.iter().flatten().enumerate();
    let planned = listed.map(|(i, hook)| plan_one(hook).with_context(|| format!("hooks.{kind}[{i}]")));
    findings.keep_all(Code::Hook, planned)
}

fn plan_one(hook: &Hook) -> Result<HookPlan> {
    if !hook.path().is_absolute() {
        bail!("path {} is not absolute", hook.path().display());
    }
    let text = |text: &str| CString::new(text).with_context(|| format!("{text:?} contains a NUL byte"));
    let path = text(hook.path().to_str().context("path is not UTF-8")?)?;
    let timeout = match hook.timeout() {
        None => None,
        Some(seconds) if seconds > 0 => Some(Duration::from_secs(seconds as u64)),
        Some(seconds) => bail!("timeout {seconds} is not greater than zero"),
    };
    let list = |list: &Option<Vec<String>>| list.iter().flatten().map(|item| text(item)).collect::<Result<Vec<_>>>();
    let mut args = list(hook.args())?;
    if args.is_empty() {
        args.push(path.clone());
    }
    Ok(HookPlan { path, args, env: list(hook.env())?, timeout })
}
