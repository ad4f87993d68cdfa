//! `docs/gateway/schema.json` is what the types say. `TICKWIRE_WRITE_SCHEMA=1` writes it.

use std::fs;
use std::path::Path;

#[test]
fn the_schema_in_the_documentation_is_that_of_the_types() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gateway/schema.json");
    let schema = tickwire_gateway::protocol::schema();
    let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
    if std::env::var_os("TICKWIRE_WRITE_SCHEMA").is_some() {
        fs::write(&path, &text).expect("the file can be written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/gateway/schema.json is old: run TICKWIRE_WRITE_SCHEMA=1 cargo test -p tickwire-gateway --test schema"
    );
}
