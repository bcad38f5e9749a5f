//! CPU and I/O scheduling (sched_setattr(2), ioprio_set(2)), and personality(2).

use crate::sys::process::SchedAttr;
use anyhow::{Result, bail};
use oci_spec::runtime::{
    IOPriorityClass, LinuxIOPriority, LinuxPersonality, LinuxPersonalityDomain, LinuxSchedulerFlag,
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
    let real_time = matches!(policy, LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr);
    if nice != 0 && !matches!(policy, LinuxSchedulerPolicy::SchedOther | LinuxSchedulerPolicy::SchedBatch) {
        bail!("process.scheduler.nice: is for SCHED_OTHER and SCHED_BATCH only, not {policy}");
    }
    if !(-20..=19).contains(&nice) {
        bail!("process.scheduler.nice: {nice} is not in -20..19");
    }
    if priority != 0 && !real_time {
        bail!("process.scheduler.priority: is for SCHED_FIFO and SCHED_RR only, not {policy}");
    }
    let times = [*spec.runtime(), *spec.deadline(), *spec.period()].map(Option::unwrap_or_default);
    if times != [0; 3] && policy != LinuxSchedulerPolicy::SchedDeadline {
        bail!("process.scheduler: runtime, deadline and period are for SCHED_DEADLINE only, not {policy}");
    }
    let [runtime, deadline, period] = times;
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

    fn planned(json: serde_json::Value) -> Result<SchedAttr> {
        scheduler(&serde_json::from_value(json).unwrap())
    }

    #[test]
    fn policies_and_their_fields() {
        let fifo = planned(serde_json::json!({"policy": "SCHED_FIFO", "priority": 10})).unwrap();
        assert_eq!((fifo.policy, fifo.priority), (1, 10));
        let deadline = serde_json::json!({"policy": "SCHED_DEADLINE", "runtime": 1, "deadline": 2, "period": 3});
        let deadline = planned(deadline).unwrap();
        assert_eq!((deadline.policy, deadline.runtime, deadline.deadline, deadline.period), (6, 1, 2, 3));
        for (json, field) in [
            (serde_json::json!({"policy": "SCHED_FIFO", "nice": 1}), "process.scheduler.nice"),
            (serde_json::json!({"policy": "SCHED_OTHER", "nice": 20}), "process.scheduler.nice"),
            (serde_json::json!({"policy": "SCHED_OTHER", "priority": 1}), "process.scheduler.priority"),
            (serde_json::json!({"policy": "SCHED_RR", "runtime": 1}), "process.scheduler: runtime"),
        ] {
            let text = planned(json).unwrap_err().to_string();
            assert!(text.starts_with(field), "{text}");
        }
    }
}
