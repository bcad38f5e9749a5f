//! The five capability sets (capabilities(7)).

use crate::fault::{During, Fault};
use crate::sys::process::*;
use nix::errno::Errno;
use oci_spec::runtime::{Capabilities, LinuxCapabilities};

const STAGE: &str = "capabilities";
const SYS_ADMIN: u64 = 1 << 21;
const SETPCAP: u64 = 1 << 8;

/// The five sets, one bit per capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapPlan {
    pub bounding: u64,
    pub effective: u64,
    pub permitted: u64,
    pub inheritable: u64,
    pub ambient: u64,
}

/// The bit of a capability named as in the specification, such as `CAP_KILL`.
pub fn bit(name: &str) -> Option<u64> {
    name.parse::<caps::Capability>().ok().map(|capability| 1 << capability.index())
}

fn mask(set: &Option<Capabilities>) -> u64 {
    set.iter().flatten().filter_map(|capability| bit(&format!("CAP_{capability}"))).fold(0, |mask, bit| mask | bit)
}

/// The sets of `process.capabilities`; absent means none at all.
pub fn plan(spec: Option<&LinuxCapabilities>) -> CapPlan {
    let Some(spec) = spec else { return CapPlan::default() };
    CapPlan {
        bounding: mask(spec.bounding()),
        effective: mask(spec.effective()),
        permitted: mask(spec.permitted()),
        inheritable: mask(spec.inheritable()),
        ambient: mask(spec.ambient()),
    }
}

/// Names of the capabilities in `mask`, for messages.
pub fn names(mask: u64) -> Vec<String> {
    let mut found: Vec<_> = caps::all().into_iter().filter(|one| mask & 1 << one.index() != 0).collect();
    // A set has no order of its own.
    found.sort_unstable_by_key(|one| one.index());
    found.iter().map(ToString::to_string).collect()
}

impl CapPlan {
    /// Leaves out what this process cannot grant ("MUST NOT fail [...] SHOULD log a warning", config.md), and says so.
    pub fn grantable(self, held: u64) -> (CapPlan, Option<String>) {
        let permitted = self.permitted & held;
        let plan = CapPlan {
            bounding: self.bounding,
            permitted,
            effective: self.effective & permitted,
            inheritable: self.inheritable & held,
            // The kernel takes an ambient capability only where it is permitted and inheritable.
            ambient: self.ambient & permitted & self.inheritable,
        };
        let lost = (self.permitted | self.effective | self.inheritable) & !held;
        let warning = (lost != 0).then(|| {
            let names = names(lost).join(", ");
            format!("process.capabilities: {names} cannot be granted, since the caller does not hold them")
        });
        (plan, warning)
    }

    /// Drops every capability outside the bounding set. Needs CAP_SETPCAP, so it comes first.
    pub fn drop_bounding(&self) -> Result<(), Fault> {
        self.keep_inheritable()?;
        for number in 0..64 {
            if self.bounding & 1 << number != 0 {
                continue;
            }
            match drop_bounding(number) {
                Ok(()) => {}
                Err(Errno::EINVAL) => break,
                Err(errno) => {
                    return Err(errno)
                        .during(STAGE, || format!("cannot drop capability {number} from the bounding set"));
                }
            }
        }
        Ok(())
    }

    /// What is to be inheritable without being bounding has to be so before the bounding set loses it: afterwards the
    /// kernel refuses to add it (capabilities(7), "Capability bounding set").
    fn keep_inheritable(&self) -> Result<(), Fault> {
        if self.inheritable & !self.bounding == 0 {
            return Ok(());
        }
        let what = || "cannot set the inheritable capabilities".to_owned();
        let held = capget().during(STAGE, what)?;
        capset(&CapSets { inheritable: self.inheritable & held.permitted, ..held }).during(STAGE, what)
    }

    /// Sets the other four, keeping what the seccomp load still needs where `keep_admin` says so.
    pub fn set(&self, keep_admin: bool) -> Result<(), Fault> {
        let extra = if keep_admin { SYS_ADMIN | SETPCAP } else { 0 };
        let sets = CapSets {
            effective: self.effective | extra,
            permitted: self.permitted | extra,
            inheritable: self.inheritable,
        };
        capset(&sets).during(STAGE, || "cannot set the capability sets".to_owned())?;
        if clear_ambient().is_ok() {
            for number in (0..64).filter(|number| self.ambient & 1 << number != 0) {
                raise_ambient(number).during(STAGE, || format!("cannot raise ambient capability {number}"))?;
            }
        }
        Ok(())
    }

    /// The sets as capset(2) takes them.
    pub fn sets(&self) -> CapSets {
        CapSets { effective: self.effective, permitted: self.permitted, inheritable: self.inheritable }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_bits() {
        assert_eq!(bit("CAP_CHOWN"), Some(1));
        assert_eq!(bit("CAP_SYS_ADMIN"), Some(SYS_ADMIN));
        assert_eq!(bit("CAP_SETPCAP"), Some(SETPCAP));
        assert_eq!(bit("CAP_CHECKPOINT_RESTORE"), Some(1 << 40));
        assert_eq!(bit("CAP_NOTHING"), None);
        assert_eq!(names(1 | SYS_ADMIN), ["CAP_CHOWN", "CAP_SYS_ADMIN"]);
    }

    #[test]
    fn every_capability_of_the_specification_has_its_bit() {
        let all: Vec<String> = (0..41).map(|number| format!("\"{}\"", names(1 << number)[0])).collect();
        let json = format!("{{\"bounding\": [{}]}}", all.join(","));
        assert_eq!(plan(Some(&serde_json::from_str(&json).unwrap())).bounding, (1 << 41) - 1);
    }

    #[test]
    fn what_is_not_held_is_left_out_and_named() {
        let plan = CapPlan { bounding: 7, permitted: 7, effective: 7, inheritable: 5, ambient: 7 };
        let (granted, warning) = plan.grantable(3);
        assert_eq!((granted.permitted, granted.effective, granted.ambient), (3, 3, 1));
        assert!(warning.unwrap().contains("CAP_DAC_READ_SEARCH"));
        assert_eq!(CapPlan { permitted: 3, ..CapPlan::default() }.grantable(3).1, None);
    }
}
