//! What an update means: new resources laid over those that are in force. All of it is JSON, as the container's
//! configuration keeps it, so nothing that the typed parser does not know is lost.

use serde_json::{Map, Value, json};

/// Numbers of which 0 is "not given" to every caller, below `linux.resources`.
const ZERO_IS_UNSET: &[&str] = &[
    "/memory/limit",
    "/memory/swap",
    "/memory/reservation",
    "/cpu/shares",
    "/cpu/quota",
    "/cpu/period",
    "/cpu/realtimeRuntime",
    "/cpu/realtimePeriod",
    "/blockIO/weight",
];

/// A list that is a table.
struct Table {
    pointer: &'static str,
    /// The fields which say that two rows are about the same thing.
    keys: &'static [&'static str],
    /// Those that ask for something.
    values: &'static [&'static str],
}

const DEVICE: &[&str] = &["major", "minor"];
const RATE: &[&str] = &["rate"];

const TABLES: &[Table] = &[
    Table { pointer: "/blockIO/weightDevice", keys: DEVICE, values: &["weight", "leafWeight"] },
    Table { pointer: "/blockIO/throttleReadBpsDevice", keys: DEVICE, values: RATE },
    Table { pointer: "/blockIO/throttleWriteBpsDevice", keys: DEVICE, values: RATE },
    Table { pointer: "/blockIO/throttleReadIOPSDevice", keys: DEVICE, values: RATE },
    Table { pointer: "/blockIO/throttleWriteIOPSDevice", keys: DEVICE, values: RATE },
    Table { pointer: "/hugepageLimits", keys: &["pageSize"], values: &["limit"] },
];

/// Takes out of an update what names a field without asking for anything.
pub fn prune(update: &mut Value) {
    for pointer in ZERO_IS_UNSET {
        remove_if(update, pointer, |value| value == 0);
    }
    for pointer in ["/cpu/cpus", "/cpu/mems"] {
        remove_if(update, pointer, |value| value == "");
    }
    // Engines send an empty list, or none, for "as they are".
    remove_if(update, "/devices", |value| value.as_array().is_some_and(Vec::is_empty));
    for table in TABLES {
        let rows = update.pointer_mut(table.pointer).and_then(Value::as_array_mut);
        rows.into_iter().for_each(|rows| prune_rows(rows, table.values));
    }
    if let Some(parts) = update.as_object_mut() {
        parts.retain(|_, part| !part.is_null() && part.as_object().is_none_or(|fields| !fields.is_empty()));
    }
}

fn prune_rows(rows: &mut Vec<Value>, values: &[&str]) {
    rows.retain_mut(|row| {
        let Some(fields) = row.as_object_mut() else { return true };
        fields.retain(|_, value| !value.is_null());
        values.iter().any(|name| fields.contains_key(*name))
    });
}

/// Adds to a pruned update the recorded values without which one of its own cannot be converted.
pub fn complete(update: &Value, recorded: &Value) -> Value {
    let mut full = update.clone();
    // Swap is told as memory plus swap.
    if full.pointer("/memory/swap").is_some() {
        borrow(&mut full, recorded, "memory", "limit");
    }
    // The kernel sets the weight of a group that becomes idle, and another when it ceases to be.
    if full.pointer("/cpu/idle").is_some_and(|idle| *idle == 0) {
        borrow(&mut full, recorded, "cpu", "shares");
    }
    full
}

/// The resources that are in force once the pruned update is.
pub fn merged(recorded: &Value, update: &Value) -> Value {
    let mut merged = if recorded.is_object() { recorded.clone() } else { json!({}) };
    lay_over(&mut merged, update);
    settle_swap(&mut merged, recorded, update);
    merged
}

/// A limit without a swap leaves `memory.swap.max` as it is; recorded is the sum.
fn settle_swap(merged: &mut Value, recorded: &Value, update: &Value) {
    let of = |from: &Value, name: &str| from.pointer("/memory")?.get(name)?.as_i64();
    let (Some(limit), None) = (of(update, "limit"), of(update, "swap")) else { return };
    let swap = match (of(recorded, "swap"), of(recorded, "limit")) {
        // Unlimited memory is unlimited swap.
        _ if limit < 0 => None,
        (Some(swap), Some(old)) if swap > 0 && old > 0 => Some(swap.saturating_sub(old).saturating_add(limit)),
        (swap, _) => swap,
    };
    if let Some(memory) = merged.get_mut("memory").and_then(Value::as_object_mut) {
        match swap {
            Some(swap) => memory.insert("swap".to_owned(), json!(swap)),
            None => memory.remove("swap"),
        };
    }
}

fn lay_over(below: &mut Value, above: &Value) {
    let (Value::Object(fields), Value::Object(new)) = (&mut *below, above) else {
        *below = above.clone();
        return;
    };
    for (name, value) in new.iter().filter(|(_, value)| !value.is_null()) {
        let table = TABLES.iter().find(|table| table.pointer.rsplit('/').next() == Some(name)).map(|table| table.keys);
        match (fields.get_mut(name), table, value) {
            (Some(Value::Array(rows)), Some(keys), Value::Array(new)) => {
                new.iter().for_each(|row| upsert(rows, keys, row))
            }
            (Some(old), None, _) => lay_over(old, value),
            _ => drop(fields.insert(name.clone(), value.clone())),
        }
    }
}

fn upsert(rows: &mut Vec<Value>, keys: &[&str], row: &Value) {
    fn given<'a>(row: &'a Value, key: &str) -> Option<&'a Value> {
        row.get(key).filter(|value| !value.is_null())
    }
    match rows.iter_mut().find(|old| keys.iter().all(|key| given(old, key) == given(row, key))) {
        Some(old) => lay_over(old, row),
        None => rows.push(row.clone()),
    }
}

fn borrow(to: &mut Value, from: &Value, part: &str, name: &str) {
    let (Some(fields), Some(value)) = (to.get_mut(part).and_then(Value::as_object_mut), from.get(part)) else { return };
    if let Some(value) = value.get(name).filter(|value| !value.is_null()) {
        fields.entry(name).or_insert_with(|| value.clone());
    }
}

fn remove_if(value: &mut Value, pointer: &str, asks_nothing: impl Fn(&Value) -> bool) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    let Some(fields) = value.pointer_mut(parent).and_then(Value::as_object_mut) else { return };
    if fields.get(name).is_some_and(|value| value.is_null() || asks_nothing(value)) {
        fields.remove(name);
    }
}

/// The resources of a whole configuration; an empty object where it has none.
pub fn resources_of(config: &mut Value) -> &mut Value {
    let object = |value: &mut Value| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
    };
    object(config);
    object(&mut config["linux"]);
    object(&mut config["linux"]["resources"]);
    &mut config["linux"]["resources"]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merge(recorded: Value, mut update: Value) -> Value {
        prune(&mut update);
        merged(&recorded, &update)
    }

    #[test]
    fn what_is_not_named_stays() {
        let recorded = json!({"memory": {"limit": 5, "swap": 9}, "cpu": {"quota": 3, "cpus": "0"}, "unknown": [1]});
        let update =
            json!({"memory": {"limit": 0, "reservation": null}, "cpu": {"period": 7, "cpus": ""}, "devices": []});
        let expected =
            json!({"memory": {"limit": 5, "swap": 9}, "cpu": {"quota": 3, "period": 7, "cpus": "0"}, "unknown": [1]});
        assert_eq!(merge(recorded, update), expected);
        assert_eq!(merge(Value::Null, json!({"pids": {"limit": 0}})), json!({"pids": {"limit": 0}}));
    }

    #[test]
    fn rows_of_one_device_take_each_others_place() {
        let recorded = json!({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1}], "devices": [{"allow": true}]});
        let update = json!({"blockIO": {"throttleReadBpsDevice":
            [{"major": 8, "minor": 1, "rate": 2}, {"major": 8, "minor": 0, "rate": 3}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 2}], "devices": [{"allow": false}]});
        let expected = json!({"blockIO": {"throttleReadBpsDevice":
            [{"major": 8, "minor": 0, "rate": 3}, {"major": 8, "minor": 1, "rate": 2}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 2}], "devices": [{"allow": false}]});
        assert_eq!(merge(recorded, update), expected);
    }

    #[test]
    fn a_row_without_a_value_asks_for_nothing() {
        let recorded = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 1}]});
        for row in [json!({"pageSize": "2MB"}), json!({"pageSize": "2MB", "limit": null})] {
            let mut update = json!({ "hugepageLimits": [row] });
            prune(&mut update);
            assert_eq!(update, json!({"hugepageLimits": []}));
            assert_eq!(merge(recorded.clone(), update), recorded);
        }
    }

    #[test]
    fn the_recorded_swap_is_a_sum() {
        let swap = |recorded: Value, update: Value| {
            merge(json!({"memory": recorded}), json!({"memory": update}))["memory"]["swap"].clone()
        };
        assert_eq!(swap(json!({"limit": 10, "swap": 15}), json!({"limit": 30})), 35);
        assert_eq!(swap(json!({"limit": 10, "swap": 15}), json!({"limit": 30, "swap": 31})), 31);
        assert_eq!(swap(json!({"limit": 10, "swap": -1}), json!({"limit": 30})), -1);
        assert_eq!(swap(json!({"limit": 10, "swap": 15}), json!({"limit": -1})), Value::Null);
    }

    #[test]
    fn partners_are_borrowed() {
        let recorded = json!({"memory": {"limit": 10}, "cpu": {"shares": 512}});
        assert_eq!(complete(&json!({"memory": {"swap": 20}}), &recorded), json!({"memory": {"swap": 20, "limit": 10}}));
        assert_eq!(complete(&json!({"cpu": {"idle": 0}}), &recorded), json!({"cpu": {"idle": 0, "shares": 512}}));
        assert_eq!(complete(&json!({"cpu": {"idle": 1}}), &recorded), json!({"cpu": {"idle": 1}}));
        assert_eq!(complete(&json!({"pids": {"limit": 1}}), &recorded), json!({"pids": {"limit": 1}}));
    }

    #[test]
    fn a_config_without_resources_gets_some() {
        let mut config = json!({"process": {}});
        *resources_of(&mut config) = json!({"a": 1});
        assert_eq!(config, json!({"process": {}, "linux": {"resources": {"a": 1}}}));
    }
}
