//! The JSON of each command: its schema is kept in `tests/cli/schemas`, so that no change goes unnoticed.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use schemars::{JsonSchema, schema_for};

use crate::commands::{account, emulator, keliweb, scope, status, token, tokens};
use crate::{failure, output};

/// Compares the schema with the file. `GETTONE_UPDATE=1` writes it.
fn check<T: JsonSchema>(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/schemas/{name}.json"));
    let schema = format!("{}\n", serde_json::to_string_pretty(&schema_for!(T)).unwrap());
    if std::env::var_os("GETTONE_UPDATE").is_some() {
        fs::write(&path, &schema).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(known == schema, "{name} has changed: if users are told, write it with GETTONE_UPDATE=1\n{schema}");
}

#[test]
fn the_json_of_each_command_is_the_known_one() {
    check::<token::TokenJson>("token");
    check::<keliweb::Logout>("logout");
    check::<status::Status>("status");
    check::<emulator::Started>("emulator");
    check::<failure::FailureJson<'_>>("error");
    check::<output::WarningJson<'_>>("warning");
    check::<tokens::Tokens>("tokens-list");
    check::<tokens::TokenDetail>("tokens-show");
    check::<tokens::delete::Deleted>("tokens-delete");
    check::<account::scopes::Scopes>("scopes");
    check::<account::wallet::Wallet>("wallet");
    check::<account::stats::StatsJson>("stats");
    check::<account::stats::Counters>("counters");
    check::<account::logs::Errors>("errors");
    check::<account::logs::Callbacks>("callbacks");
    check::<account::logs::CallbackJson>("callback");
    check::<account::subscriptions::Subscriptions>("subscriptions");
    check::<account::subscriptions::SubscriptionJson>("subscription");
    check::<scope::Scopes>("scope-list");
    check::<scope::Explanations>("scope-explain");
}
