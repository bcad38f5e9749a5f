//! CPU and I/O scheduling (sched_setattr(2), ioprio_set(2)), and personality(2).

use super::sets::{self, Mask};
use crate::sys::process::{MOST_CPUS, SchedAttr};
use anyhow::{Context, Result, bail};
use oci_spec::runtime::{
    ExecCPUAffinity, IOPriorityClass, LinuxIOPriority, LinuxPersonality, LinuxPersonalityDomain, LinuxSchedulerFlag,
    LinuxSchedulerPolicy, Scheduler,
};

/// Plans `process.scheduler`.
pub fn scheduler(spec: &Scheduler) -> Result<SchedAttr> {
    let policy = *spec.policy();
    let number = match policy {
        LinuxSchedulerPolicy::SchedOther => libc::SCHED_OTHER,
        LinuxSchedulerPolicy::SchedFifo => libc::SCHED_FIFO,
        LinuxSchedulerPolicy::SchedRr => libc::SCHED_RR,
        LinuxSchedulerPolicy::SchedBatch => libc::SCHED_BATCH,
        LinuxSchedulerPolicy::SchedIdle => libc::SCHED_IDLE,
        LinuxSchedulerPolicy::SchedDeadline => libc::SCHED_DEADLINE,
        LinuxSchedulerPolicy::SchedIso => bail!("process.scheduler.policy: SCHED_ISO is not implemented by Linux"),
    };
    let nice = spec.nice().unwrap_or(0);
    let priority = spec.priority().unwrap_or(0);
    if nice != 0 && !matches!(policy, LinuxSchedulerPolicy::SchedOther | LinuxSchedulerPolicy::SchedBatch) {
        bail!("process.scheduler.nice: is for SCHED_OTHER and SCHED_BATCH only, not {policy}");
    }
    if !(-20..=19).contains(&nice) {
        bail!("process.scheduler.nice: {nice} is not in -20..19");
    }
    let real_time = matches!(policy, LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr);
    if priority != 0 && !real_time {
        bail!("process.scheduler.priority: is for SCHED_FIFO and SCHED_RR only, not {policy}");
    }
    if real_time && !(1..=99).contains(&priority) {
        bail!("process.scheduler.priority: {priority} is not in 1..99, as {policy} needs it");
    }
    let [runtime, deadline, period] = times(spec)?;
    let flags = spec.flags().iter().flatten().fold(0, |flags, flag| flags | flag_bit(*flag));
    Ok(SchedAttr {
        policy: number as u32,
        flags,
        nice,
        priority: priority as u32,
        runtime,
        deadline,
        period,
        ..SchedAttr::default()
    })
}

/// Runtime, deadline and period in nanoseconds, by the rules of sched(7), "SCHED_DEADLINE".
fn times(spec: &Scheduler) -> Result<[u64; 3]> {
    let names = ["runtime", "deadline", "period"];
    let times = [*spec.runtime(), *spec.deadline(), *spec.period()].map(Option::unwrap_or_default);
    let policy = spec.policy();
    if *policy != LinuxSchedulerPolicy::SchedDeadline {
        return match names.iter().zip(times).find(|(_, time)| *time != 0) {
            Some((name, _)) => bail!("process.scheduler.{name}: is for SCHED_DEADLINE only, not {policy}"),
            None => Ok(times),
        };
    }
    /// The kernel's own least time (`__checkparam_dl`).
    const LEAST: u64 = 1024;
    let [runtime, deadline, period] = times;
    match () {
        () if runtime < LEAST => {
            bail!("process.scheduler.runtime: SCHED_DEADLINE needs at least {LEAST} ns, not {runtime}")
        }
        () if deadline == 0 => bail!("process.scheduler.deadline: SCHED_DEADLINE needs one"),
        () if deadline < runtime => {
            bail!("process.scheduler.deadline: {deadline} ns is less than the runtime, {runtime} ns")
        }
        // No period is a period as long as the deadline.
        () if period != 0 && period < deadline => {
            bail!("process.scheduler.period: {period} ns is less than the deadline, {deadline} ns")
        }
        () => Ok(times),
    }
}

/// `SCHED_FLAG_*` of sched.h.
fn flag_bit(flag: LinuxSchedulerFlag) -> u64 {
    match flag {
        LinuxSchedulerFlag::SchedResetOnFork => 0x01,
        LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
        LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
        LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
        LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
        LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
        LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
    }
}

/// Which CPUs a process may run on.
#[derive(Debug, Default)]
pub struct Affinity {
    /// Where whoever makes the process runs, and the process at its birth.
    pub first: Option<Mask>,
    /// Once it is in the container's cgroup.
    pub last: LastCpus,
}

/// See [`Affinity::last`].
#[derive(Debug, Default, PartialEq, Eq)]
pub enum LastCpus {
    /// All that its cpuset has, whatever the caller may run on.
    #[default]
    All,
    Only(Mask),
    /// What the kernel has made of the first ones (config.md: the runtime "SHOULD NOT change" it).
    AsTheyAre,
}

/// Plans `process.execCPUAffinity`; an empty list is none.
pub fn affinity(spec: Option<&ExecCPUAffinity>) -> Result<Affinity> {
    let mask = |list: &Option<String>, field: &str| {
        let list = list.as_deref().filter(|list| !list.is_empty());
        let parsed = list.map(|list| sets::parse(list, MOST_CPUS)).transpose();
        parsed.with_context(|| format!("process.execCPUAffinity.{field}"))
    };
    let Some(spec) = spec else { return Ok(Affinity::default()) };
    let first = mask(spec.initial(), "initial")?;
    let last = match (mask(spec.cpu_affinity_final(), "final")?, &first) {
        (Some(mask), _) => LastCpus::Only(mask),
        (None, Some(_)) => LastCpus::AsTheyAre,
        (None, None) => LastCpus::All,
    };
    Ok(Affinity { first, last })
}

/// Plans `process.ioPriority`: class and level of ioprio_set(2).
pub fn io_priority(spec: &LinuxIOPriority) -> Result<(u32, u32)> {
    let class = match spec.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    match u32::try_from(spec.priority()) {
        Ok(level @ 0..=7) => Ok((class, level)),
        _ => bail!("process.ioPriority.priority: {} is not in 0..7", spec.priority()),
    }
}

/// Plans `linux.personality`: the domain of personality(2).
pub fn personality(spec: &LinuxPersonality) -> u64 {
    match spec.domain() {
        LinuxPersonalityDomain::PerLinux => 0x0000,
        LinuxPersonalityDomain::PerLinux32 => 0x0008,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn planned(json: serde_json::Value) -> Result<SchedAttr> {
        scheduler(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn policies_and_their_fields() {
        let fifo = planned(json!({"policy": "SCHED_FIFO", "priority": 10})).unwrap();
        assert_eq!((fifo.policy, fifo.priority), (1, 10));
        let deadline = json!({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000, "period": 4000});
        let deadline = planned(deadline).unwrap();
        assert_eq!((deadline.policy, deadline.runtime, deadline.deadline, deadline.period), (6, 2000, 3000, 4000));
        for policy in ["SCHED_OTHER", "SCHED_BATCH"] {
            for nice in [-20, 19] {
                assert_eq!(planned(json!({"policy": policy, "nice": nice})).unwrap().nice, nice);
            }
        }
    }

    #[test]
    fn refusals_name_the_field() {
        for (json, field) in [
            (json!({"policy": "SCHED_ISO"}), "process.scheduler.policy: SCHED_ISO"),
            (json!({"policy": "SCHED_FIFO", "priority": 1, "nice": 1}), "process.scheduler.nice: is for"),
            (json!({"policy": "SCHED_IDLE", "nice": 1}), "process.scheduler.nice: is for"),
            (json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice: 20 is not in -20..19"),
            (json!({"policy": "SCHED_BATCH", "nice": -21}), "process.scheduler.nice: -21"),
            (json!({"policy": "SCHED_OTHER", "priority": 1}), "process.scheduler.priority: is for"),
            (json!({"policy": "SCHED_DEADLINE", "priority": 1}), "process.scheduler.priority: is for"),
            (json!({"policy": "SCHED_FIFO"}), "process.scheduler.priority: 0 is not in 1..99"),
            (json!({"policy": "SCHED_RR", "priority": 100}), "process.scheduler.priority: 100 is not in 1..99"),
            (json!({"policy": "SCHED_RR", "priority": 1, "runtime": 1}), "process.scheduler.runtime: is for"),
            (json!({"policy": "SCHED_OTHER", "deadline": 1}), "process.scheduler.deadline: is for"),
            (json!({"policy": "SCHED_IDLE", "period": 1}), "process.scheduler.period: is for"),
            (json!({"policy": "SCHED_DEADLINE"}), "process.scheduler.runtime: SCHED_DEADLINE needs"),
            (json!({"policy": "SCHED_DEADLINE", "runtime": 2000}), "process.scheduler.deadline: SCHED_DEADLINE needs"),
            (
                json!({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 1999}),
                "process.scheduler.deadline: 1999 ns",
            ),
            (
                json!({"policy": "SCHED_DEADLINE", "runtime": 2000, "deadline": 3000, "period": 2999}),
                "process.scheduler.period: 2999 ns",
            ),
        ] {
            let text = planned(json).unwrap_err().to_string();
            assert!(text.starts_with(field), "{text}");
        }
    }

    #[test]
    fn affinities() {
        let planned = |json| affinity(Some(&serde_json::from_value(json).unwrap()));
        let both = planned(json!({"initial": "0", "final": "1"})).unwrap();
        assert_eq!(
            (both.first.map(|mask| mask[0]), both.last),
            (Some(1), LastCpus::Only(sets::parse("1", MOST_CPUS).unwrap()))
        );
        assert_eq!(planned(json!({"initial": "0"})).unwrap().last, LastCpus::AsTheyAre);
        assert_eq!(planned(json!({})).unwrap().last, LastCpus::All);
        let text = format!("{:#}", planned(json!({"final": "3-1"})).unwrap_err());
        assert_eq!(text, "process.execCPUAffinity.final: the range 3-1 runs backwards");
    }
}
