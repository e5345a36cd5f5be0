//! Checks which room of `src/` may use which. Arrows point down, and the rooms that all services share name no service.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, from the ground up, and the rooms that its code may name. `CONTRIBUTING.md` has the picture.
const ROOMS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("secret", &[]),
    ("clock", &[]),
    ("json", &[]),
    ("redact", &[]),
    ("env", &["error"]),
    ("token", &["json", "secret"]),
    ("runtime", &["error"]),
    ("trace", &["error"]),
    ("scope", &["error", "json"]),
    ("store", &["clock", "error", "redact", "runtime", "scope", "secret", "token", "trace"]),
    ("http", &["clock", "error", "json", "redact", "runtime", "secret", "token", "trace"]),
    ("cache", &["clock", "error", "runtime", "secret", "store", "token", "trace"]),
    ("auth", &["cache", "clock", "error", "http", "runtime", "store", "token", "trace"]),
    ("keliweb", SERVICE),
    ("openapi", SERVICE),
    // It must not share a mistake with the clients that it tests.
    ("emulator", &["clock", "scope", "secret"]),
];

/// What a service may know: everything below it, and no other service.
const SERVICE: &[&str] = &[
    "auth", "cache", "clock", "env", "error", "http", "json", "runtime", "scope", "secret", "store", "token", "trace",
];

/// What all services share, and words that only one of them knows.
const SHARED: &[&str] = &["http", "cache", "auth"];
const OWN_WORDS: &[&str] = &["openapi", "keliweb", "fatture", "altravia", "passport", "laravel"];

/// The files of a room.
fn files(room: &str) -> Vec<PathBuf> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = vec![src.join(format!("{room}.rs"))];
    let mut folders = vec![src.join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            match path.extension() {
                None => folders.push(path),
                Some(extension) if extension == "rs" => found.push(path),
                Some(_) => {}
            }
        }
    }
    // Tests may look wherever they like.
    found.retain(|path| !path.to_string_lossy().contains("tests"));
    assert!(found.iter().all(|path| path.exists()), "{found:?}");
    found
}

/// The code of a file, without comments and without the tests at its end.
fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let end = text.find("\nmod tests {").unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The modules and items that code names at the root of the crate.
fn named(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let list = rest.strip_prefix('{').map_or(rest, |list| list.split('}').next().unwrap_or_default());
        let several = list.len() < rest.len() && rest.starts_with('{');
        let parts: Vec<&str> = if several { list.split(',').collect() } else { vec![list] };
        for part in parts {
            let name: String = part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            names.insert(name);
        }
    }
    names
}

#[test]
fn a_room_names_only_the_rooms_below_it() {
    let mut wrong = Vec::new();
    for (room, below) in ROOMS {
        for file in files(room) {
            for name in named(&code(&file)) {
                if name != *room && !below.contains(&name.as_str()) {
                    wrong.push(format!("{}: crate::{name}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "imports that point up, or that go through the root's re-exports:\n{}", wrong.join("\n"));
}

#[test]
fn what_all_services_share_names_none_of_them() {
    for room in SHARED {
        for file in files(room) {
            let code = code(&file).to_lowercase();
            let named: Vec<_> = OWN_WORDS.iter().filter(|word| code.contains(**word)).collect();
            assert!(named.is_empty(), "{} names {named:?}", file.display());
        }
    }
}

#[test]
fn every_room_says_what_it_is_in_its_first_line() {
    for (room, _) in ROOMS {
        for file in files(room) {
            assert!(fs::read_to_string(&file).unwrap().starts_with("//! "), "{}", file.display());
        }
    }
}

#[test]
fn every_module_of_the_crate_is_a_room() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let modules =
        lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    let unknown: Vec<_> = modules
        .filter(|module| !ROOMS.iter().any(|(room, _)| room == module) && !["guide", "hostile"].contains(module))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?} are not in the list");
}
