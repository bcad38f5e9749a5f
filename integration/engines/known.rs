//! Differences that are there for a reason: a sentence of the specification, or a known defect of runc.

/// Where the outcome with rt has the one text, that with runc has one of the others; the exit code is the line `exit N`.
pub struct Known {
    /// Of the operation.
    pub name: &'static str,
    pub rt: &'static str,
    /// By version of runc.
    pub runc: &'static [&'static str],
    pub reason: &'static str,
}

impl Known {
    /// The outcome with runc as this difference would have it with rt, if it is there.
    pub fn explain(&self, rt: &str, runc: &str) -> Option<String> {
        let found = self.runc.iter().find(|text| runc.contains(**text)).filter(|_| rt.contains(self.rt))?;
        Some(runc.replace(found, self.rt))
    }
}

/// Of an exec or a run of `/etc`. Docker adds the words itself, to an error that has other words of its own at the end.
pub const fn directory(name: &'static str) -> Known {
    Known {
        name,
        rt: "\"/etc\": is a directory: permission denied: unknown",
        runc: &[
            "\"/etc\": is a directory: unknown: permission denied",
            "\"/etc\": is a directory: unknown",
            "\"/etc\": permission denied: unknown",
        ],
        reason: "a defect of runc: one version leaves out that it is a directory, another the words of exit code 126",
    }
}

/// Of a control file `cpu.weight`.
pub const fn weight(name: &'static str, rt: &'static str, runc: &'static [&'static str]) -> Known {
    let reason = "a defect of older runc: by its line the usual 1024 shares became a weight of 39, where 100 is usual";
    Known { name, rt, runc, reason }
}
