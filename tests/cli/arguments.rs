//! The help, the manual and the completions.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gettone::ScopePattern;

use crate::world::World;

/// Returns the names of a help's commands.
fn commands(help: &str) -> Vec<String> {
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// Compares a text with a file of this repository. `GETTONE_UPDATE=1` writes the file.
pub fn assert_same(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(file);
    if std::env::var_os("GETTONE_UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    let known = fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "{file} has changed: if that is right, write it with GETTONE_UPDATE=1\n{text}");
}

#[tokio::test]
async fn each_help_is_as_wide_as_a_terminal_and_has_an_example() {
    let world = World::new().await;
    let (mut all, mut open) = (String::new(), vec![Vec::<String>::new()]);
    while let Some(command) = open.pop() {
        let arguments: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let run = world.run(&arguments).await;
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
        let help = run.stdout;
        let wide = help.lines().find(|line| line.chars().count() > 80);
        assert_eq!(wide, None, "{command:?}");
        let below = commands(&help);
        assert!(help.contains("\nExample"), "{command:?} has no example");
        open.extend(below.iter().rev().map(|name| [&command[..], std::slice::from_ref(name)].concat()));
        all += &format!("$ gettone {}\n{help}\n", arguments.join(" "));
    }
    assert!(all.contains("$ gettone openapi token --help") && all.contains("$ gettone man --help"));
    assert_same("help.txt", &all);
    assert_eq!(world.requests(), 0);
}

/// A user who copies an example of the help gets a token from the emulator.
#[tokio::test]
async fn the_emulator_grants_each_scope_of_the_help() {
    let world = World::new().await;
    let help = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help.txt")).unwrap();
    let words = help.split(|c: char| c.is_whitespace() || c == '\'');
    let scopes: BTreeSet<&str> = words.filter(|word| word.parse::<ScopePattern>().is_ok()).collect();
    assert!(scopes.len() >= 3, "{scopes:?}");
    for scope in scopes {
        let run = world.run(&["openapi", "token", scope]).await;
        assert_eq!(run.code, 0, "{scope}: {run:?}");
    }
}

#[tokio::test]
async fn the_configuration_of_the_help_works() {
    let world = World::new().await;
    let help = world.run(&["--help"]).await.stdout;
    assert!(help.contains("~/.config/gettone/config.toml"), "{help}");
    let lines: Vec<&str> = help.lines().skip_while(|line| !line.starts_with("  [default")).collect();
    let example = lines.split(|line| line.is_empty()).next().unwrap().join("\n");
    let config = world.write(".config/gettone/config.toml", &example);
    let mut world = world;
    world.unset_credentials();
    let status = world.run(&["status"]).await.stdout;
    assert!(status.contains(&format!("API key\tapi_key_command in profile default of {config}")), "{status}");
}

#[tokio::test]
async fn completions_load_and_complete() {
    let world = World::new().await;
    let script = "eval \"$(gettone completions bash)\"; complete -p gettone > /dev/null\n\
         words() { COMP_WORDS=(gettone \"$@\"); COMP_CWORD=$#; COMPREPLY=(); _gettone gettone \"${COMP_WORDS[COMP_CWORD]}\" \\\n\
           \"${COMP_WORDS[COMP_CWORD-1]}\" || true; echo \" ${COMPREPLY[*]} \"; }\n\
         words keliweb ''; words keliweb token --format ''";
    let run = world.bash(script).await;
    assert_eq!(run.code, 0, "{run:?}");
    for word in ["token", "refresh", "logout", "header", "curl"] {
        assert!(run.stdout.contains(&format!(" {word} ")), "{word}: {run:?}");
    }
    for (shell, arguments) in [
        ("zsh", ["-c", "autoload -U compinit; compinit -u; source =(gettone completions zsh)"]),
        ("fish", ["-c", "gettone completions fish | source"]),
    ] {
        match world.any(shell).args(arguments).spawn() {
            Ok(child) => {
                let run = crate::world::wait(child).await;
                assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{shell}");
            }
            Err(_) => println!("no {shell} on this machine: its completions were not loaded"),
        }
    }
    world.run(&["completions", "tcsh"]).await.fails(2, "possible values");
}

#[tokio::test]
async fn the_manual_renders() {
    let world = World::new().await;
    let page = world.run(&["man"]).await.stdout;
    assert!(page.contains(".TH gettone 1"), "{page}");
    world.run(&["man", "pages"]).await.line();
    let pages: Vec<_> = fs::read_dir(world.home.join("pages")).unwrap().map(|page| page.unwrap().file_name()).collect();
    assert!(pages.iter().any(|page| page == "gettone-openapi-token.1"), "{pages:?}");
    // A page that another one refers to is there.
    let mut references = 0;
    let in_folder = pages.iter().map(|page| fs::read_to_string(world.home.join("pages").join(page)).unwrap());
    for page in in_folder.chain([page]) {
        for name in page.replace('\\', "").split_whitespace().filter_map(|word| word.strip_suffix("(1)")) {
            assert!(pages.contains(&format!("{name}.1").into()), "{name}(1): {page}");
            references += 1;
        }
    }
    assert!(references > 20, "{references}");
    let run = world.bash("for page in pages/*.1; do man --warnings -l \"$page\" > /dev/null; done").await;
    if run.code == 127 || run.stderr.contains("minimized") || run.stdout.contains("minimized") {
        println!("no `man` on this machine: no page was rendered");
    } else {
        assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    }
}
