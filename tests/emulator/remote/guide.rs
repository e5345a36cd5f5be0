//! The commands of the guide for other languages run as they are.

use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use gettone::emulator::Emulator;
use tokio::process::Command;

/// Returns the blocks of this language on the guide's page, in the section for other languages.
fn blocks(language: &str) -> Vec<String> {
    let page = include_str!("../../../docs/testing.md");
    let section = page.split_once("\n## Other languages").unwrap().1.split("\n## ").next().unwrap();
    let (mut blocks, mut rest) = (Vec::new(), section);
    while let Some((_, after)) = rest.split_once(&format!("```{language}\n")) {
        let (block, after) = after.split_once("\n```").unwrap();
        blocks.push(block.to_owned());
        rest = after;
    }
    blocks
}

async fn output(program: &str, arguments: &[&str], emulator: &str) -> std::io::Result<Output> {
    let mut command = Command::new(program);
    command.args(arguments).env("EMULATOR", emulator).stdin(Stdio::null()).kill_on_drop(true);
    for name in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    tokio::time::timeout(Duration::from_secs(120), command.output()).await.unwrap()
}

/// Runs each block against an emulator of its own.
async fn run(program: &str, arguments: &[&str], blocks: Vec<String>) -> Vec<String> {
    let mut printed = Vec::new();
    for block in blocks {
        let emulator = Emulator::builder().control(true).start().await.unwrap();
        let arguments = [arguments, &[block.as_str()]].concat();
        let Output { status, stdout, stderr } = output(program, &arguments, &emulator.url("")).await.unwrap();
        let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
        assert!(status.success(), "{block}\n{stdout}\n{stderr}");
        assert!(!emulator.requests().is_empty(), "{block}\nasks for nothing");
        printed.push(stdout);
    }
    printed
}

/// Returns whether the machine has what the blocks need. If not, says so on the real stderr.
async fn has(program: &str, arguments: &[&str]) -> bool {
    let has = output(program, arguments, "").await.is_ok_and(|output| output.status.success());
    if !has {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        let text = format!("not checked here: {test}: `{program} {}` fails\n", arguments.join(" "));
        std::io::stderr().write_all(text.as_bytes()).unwrap();
    }
    has
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shell_commands_of_the_guide_work() {
    let blocks = blocks("sh");
    assert!(!blocks.is_empty());
    if has("curl", &["--version"]).await {
        let printed = run("bash", &["-euo", "pipefail", "-c"], blocks).await;
        assert_eq!(printed, ["503\n200\n401\n402\n"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_python_programs_of_the_guide_work() {
    let blocks = blocks("python");
    assert!(!blocks.is_empty());
    if has("python3", &["-c", "import requests"]).await {
        run("python3", &["-c"], blocks).await;
    }
}
