//! `process.user` at its edges.

use rt_integration::{Bundle, sandbox};
use serde_json::{Value, json};

fn mapped(bundle: Bundle<'_>) -> Bundle<'_> {
    let map = json!([{ "containerID": 0, "hostID": 100_000, "size": 65536 }]);
    bundle.namespace("user", None).set("/linux/uidMappings", map.clone()).set("/linux/gidMappings", map)
}

fn user<'a>(bundle: Bundle<'a>, user: Value) -> Bundle<'a> {
    bundle.set("/process/user", user).args(["id"])
}

#[test]
fn the_largest_ids() {
    let sandbox = sandbox!();
    let last = u32::MAX - 1;
    let out = user(sandbox.bundle("c"), json!({ "uid": last, "gid": last, "additionalGids": [last, 0] })).run().ok();
    let four = [last.to_string(), last.to_string(), last.to_string(), last.to_string()].join(",");
    assert_eq!(out.stdout(), format!("uid={four} gid={four} groups=0,{last} umask=0022\n"));
    for (field, value) in [
        ("uid", json!({ "uid": u32::MAX, "gid": 0 })),
        ("gid", json!({ "uid": 0, "gid": u32::MAX })),
        ("additionalGids[1]", json!({ "uid": 0, "gid": 0, "additionalGids": [1, u32::MAX] })),
    ] {
        let text = format!("process.user.{field}: 4294967295 is no id");
        user(sandbox.bundle("c"), value).create().fails_with(&text);
    }
    for (field, value) in
        [("uid", json!({ "uid": 4_294_967_296_u64, "gid": 0 })), ("gid", json!({ "uid": 0, "gid": -1 }))]
    {
        user(sandbox.bundle("c"), value).create().fails_with(&format!("process.user.{field}: invalid value"));
    }
}

#[test]
fn ids_that_no_mapping_has() {
    let sandbox = sandbox!();
    for (value, text) in [
        (json!({ "uid": 65536, "gid": 0 }), "process.user.uid: 65536 is not mapped by linux.uidMappings"),
        (json!({ "uid": 0, "gid": 65536 }), "process.user.gid: 65536 is not mapped by linux.gidMappings"),
        (
            json!({ "uid": 0, "gid": 0, "additionalGids": [1, 70000] }),
            "process.user.additionalGids: 70000 is not mapped by linux.gidMappings",
        ),
    ] {
        user(mapped(sandbox.bundle("c")), value).create().fails_with(text);
    }
    let out =
        user(mapped(sandbox.bundle("c")), json!({ "uid": 65535, "gid": 65535, "additionalGids": [7] })).run().ok();
    assert!(out.stdout().contains("groups=7 "), "{}", out.report());
}

/// Without privilege the kernel lets no process choose its groups; the error names what helps.
#[test]
fn groups_of_an_unprivileged_user() {
    let sandbox = sandbox!().as_user(12345);
    let out = user(sandbox.bundle("c"), json!({ "uid": 0, "gid": 0, "additionalGids": [0] })).create();
    let out = out.fails_with("process.user.additionalGids: cannot be set: operation not permitted");
    assert!(
        out.stderr().contains("map the groups with newgidmap (/etc/subgid), or leave additionalGids empty"),
        "{}",
        out.report()
    );
    let text = "process.user.additionalGids: 5 is not mapped by linux.gidMappings";
    user(sandbox.bundle("c"), json!({ "uid": 0, "gid": 0, "additionalGids": [5] })).create().fails_with(text);
    assert!(
        user(sandbox.bundle("c"), json!({ "uid": 0, "gid": 0 }))
            .run()
            .ok()
            .stdout()
            .starts_with("uid=0,0,0,0 gid=0,0,0,0")
    );
}

#[test]
fn what_is_said_and_left_out() {
    let sandbox = sandbox!();
    let out = user(sandbox.bundle("c"), json!({ "uid": 3, "gid": 4, "username": "somebody" })).run().ok();
    assert!(out.stdout().starts_with("uid=3,3,3,3 gid=4,4,4,4"), "{}", out.report());
    assert!(out.stderr().contains("process.user.username: is for Windows"), "{}", out.report());
    let flags = json!({ "domain": "LINUX32", "flags": ["ADDR_NO_RANDOMIZE"] });
    let out = sandbox.bundle("c").set("/linux/personality", flags).args(["personality"]).run().ok();
    assert_eq!(out.stdout(), "8\n");
    assert!(out.stderr().contains("linux.personality.flags: ADDR_NO_RANDOMIZE are left out"), "{}", out.report());
    let wide = json!({ "uid": 0, "gid": 0, "umask": 0o1777 });
    user(sandbox.bundle("c"), wide).create().fails_with("process.user.umask: 0o1777 is above 0o777");
}
