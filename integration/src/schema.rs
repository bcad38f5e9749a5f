//! As much of JSON Schema (draft 4) as the schemas of the runtime specification use.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The schema files of the specification, by name.
pub struct Schemas(BTreeMap<String, Value>);

/// Where the schemas and their examples are.
pub fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/data/runtime-spec-schema"))
}

/// A schema, and the file it is in, which its references start from.
#[derive(Clone, Copy)]
struct Node<'a> {
    file: &'a str,
    schema: &'a Value,
}

impl Schemas {
    pub fn load() -> Schemas {
        let files = std::fs::read_dir(directory()).expect("the schemas").flatten();
        let json = files.filter(|file| file.path().extension().is_some_and(|end| end == "json"));
        Schemas(
            json.map(|file| {
                let text = std::fs::read_to_string(file.path()).expect("a schema");
                (file.file_name().to_string_lossy().into_owned(), serde_json::from_str(&text).expect("JSON"))
            })
            .collect(),
        )
    }

    fn top<'a>(&'a self, file: &'a str) -> Node<'a> {
        Node { file, schema: &self.0[file] }
    }

    /// What a `$ref` leads to. `None` where it leads to a file that is not here: another platform's.
    fn follow<'a>(&'a self, mut node: Node<'a>) -> Option<Node<'a>> {
        while let Some(reference) = node.schema.get("$ref").and_then(Value::as_str) {
            let (file, pointer) = reference.split_once('#').expect("a reference");
            let file = if file.is_empty() { node.file } else { file };
            let schema = self.0.get(file)?.pointer(pointer).expect("what is referred to");
            node = Node { file, schema };
        }
        Some(node)
    }

    /// Every field, such as `process.rlimits[].type`; `{}` stands for the keys of a map.
    pub fn fields(&self, file: &str) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        self.collect(self.top(file), "", &mut fields);
        fields
    }

    fn collect(&self, node: Node<'_>, path: &str, fields: &mut BTreeSet<String>) {
        let Some(Node { file, schema }) = self.follow(node) else { return };
        let list = |key: &str| schema.get(key).and_then(Value::as_array).into_iter().flatten();
        let map = |key: &str| schema.get(key).and_then(Value::as_object).into_iter().flatten();
        for schema in list("allOf").chain(list("anyOf")).chain(list("oneOf")) {
            self.collect(Node { file, schema }, path, fields);
        }
        for (name, schema) in map("properties") {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            self.collect(Node { file, schema }, &path, fields);
            fields.insert(path);
        }
        if let Some(schema) = schema.get("items") {
            self.collect(Node { file, schema }, &format!("{path}[]"), fields);
        }
        let keys = schema.get("additionalProperties").filter(|schema| schema.is_object());
        for schema in map("patternProperties").map(|(_, schema)| schema).chain(keys) {
            self.collect(Node { file, schema }, &format!("{path}{{}}"), fields);
        }
    }

    /// Where `value` is not what `file` says: types, required fields, names that an `enum` lacks, fields that no
    /// schema knows.
    pub fn misfits(&self, file: &str, value: &Value) -> Vec<String> {
        let mut misfits = Vec::new();
        self.compare(self.top(file), value, "", &mut misfits);
        misfits
    }

    fn compare(&self, node: Node<'_>, value: &Value, path: &str, misfits: &mut Vec<String>) {
        let Some(Node { file, schema }) = self.follow(node) else { return };
        if let Some(kind) = schema.get("type").and_then(Value::as_str) {
            let fits = match kind {
                "object" => value.is_object(),
                "array" => value.is_array(),
                "string" => value.is_string(),
                "boolean" => value.is_boolean(),
                "integer" => value.is_i64() || value.is_u64(),
                _ => true,
            };
            if !fits {
                return misfits.push(format!("{path}: is no {kind}"));
            }
        }
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        if list("enum").is_some_and(|names| !names.contains(value)) {
            misfits.push(format!("{path}: {value} is not one of the names"));
        }
        for name in list("required").into_iter().flatten().filter_map(Value::as_str) {
            if value.get(name).is_none() {
                misfits.push(format!("{path}: lacks {name}"));
            }
        }
        if let Some(schema) = schema.get("items") {
            for (i, item) in value.as_array().into_iter().flatten().enumerate() {
                self.compare(Node { file, schema }, item, &format!("{path}[{i}]"), misfits);
            }
        }
        if let Some(known) = schema.get("properties").and_then(Value::as_object) {
            for (name, value) in value.as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(schema) => self.compare(Node { file, schema }, value, &path, misfits),
                    None => misfits.push(format!("{path}: is no field of the schema")),
                }
            }
        }
    }
}
