//! Runs the examples as a user does: what they print, that it contains no secret, and which hosts they talk to.
#![cfg(all(feature = "emulator", feature = "middleware"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use gettone::ScopeSet;
use gettone::emulator::{CLIENT_SECRET, Emulator, PASSWORD, PRODUCTION_KEY, SANDBOX_KEY};
use gettone::keliweb::{self, Fatture};
use gettone::openapi::{self, v1::Oauth};

/// The environment variables of an account.
const ACCOUNT: [&str; 6] = [
    "OPENAPI_EMAIL",
    "OPENAPI_API_KEY",
    "KELIWEB_CLIENT_ID",
    "KELIWEB_CLIENT_SECRET",
    "KELIWEB_USERNAME",
    "KELIWEB_PASSWORD",
];
const SECRET: &str = "secret-of-a-real-account-5ac1";

/// Returns the path of the built example, beside this test. `cargo test` builds both; `cargo test --test examples` builds the
/// test only.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap().join("examples");
    let path = folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let changed = |path: &Path| fs::metadata(path).and_then(|found| found.modified()).ok();
    // The file beside it lists its sources: its own and those of the crate.
    let dependencies = fs::read_to_string(path.with_extension("d")).unwrap_or_default().replace("\\ ", "\0");
    let sources = dependencies.split_ascii_whitespace().skip(1).map(|source| PathBuf::from(source.replace('\0', " ")));
    let newest = sources.map(|source| changed(&source)).max().flatten();
    assert!(
        newest.is_some() && changed(&path) >= newest,
        "not built, or out of date: cargo build --examples --features full"
    );
    path
}

fn command(name: &str) -> Command {
    let mut command = Command::new(built(name));
    for name in ACCOUNT {
        command.env_remove(name);
    }
    // No proxy listens at this address: an example that uses one to reach the emulator fails.
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    command.env_remove("no_proxy").env_remove("NO_PROXY").stdin(Stdio::null());
    command
}

/// Returns what the command printed to stdout and stderr, and whether it succeeded.
fn run(mut command: Command) -> (String, String, bool) {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    for text in [&out, &err] {
        assert!(secrets_in(text).is_empty(), "{text}");
    }
    (out, err, output.status.success())
}

/// Returns what an example prints against the emulator.
fn emulated(name: &str) -> String {
    let (out, err, is_success) = run(command(name));
    assert!(is_success && err.is_empty(), "{name}: {out}{err}");
    assert!(out.contains("(emulated on this machine)"), "{out}");
    // One space in place of many: the width of a column does not matter here.
    out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n").collect()
}

fn assert_lines(text: &str, expected: &[&str]) {
    let mut lines = text.lines();
    for line in expected {
        assert!(lines.any(|found| found == *line), "`{line}` is missing, or not in its place:\n{text}");
    }
}

/// Returns what may be a secret: those of the emulator's accounts, that of this test, and whatever looks like a token.
fn secrets_in(text: &str) -> Vec<&str> {
    let known = [PRODUCTION_KEY, SANDBOX_KEY, CLIENT_SECRET, PASSWORD, SECRET];
    let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_token = |word: &&str| {
        let is_hex = word.len() >= 24 && word.chars().all(|c| c.is_ascii_hexdigit());
        is_hex || word.starts_with("eyJ") || word.starts_with("def50200") || ["Bearer", "Basic"].contains(word)
    };
    let tokens = text.split(|c| !is_word(c)).filter(is_token);
    known.into_iter().filter(|secret| text.contains(secret)).chain(tokens).collect()
}

#[tokio::test]
async fn a_secret_is_recognized() {
    let emulator = Emulator::start().await.unwrap();
    let (account, customer) = (emulator.account(), emulator.customer());
    let credentials = openapi::Credentials::new(account.email(), account.production_key().clone());
    let oauth = Oauth::builder(credentials).base_url(emulator.production_url()).build().unwrap();
    oauth.token(&ScopeSet::parse(["GET:127.0.0.1/echo"]).unwrap()).await.unwrap();
    let (id, secret) = (customer.client_id(), customer.client_secret().clone());
    let credentials = keliweb::Credentials::new(id, secret, customer.username(), customer.password().clone());
    Fatture::builder(credentials).base_url(emulator.keliweb_url()).build().unwrap().token().await.unwrap();
    let issued = emulator.tokens();
    assert_eq!(issued.len(), 2);
    for token in issued.iter().flat_map(|issued| [Some(&issued.token), issued.refresh_token.as_ref()]).flatten() {
        assert_eq!(secrets_in(&format!("a token \"{}\", here", token.expose())).len(), 1);
    }
    assert_eq!(secrets_in(PASSWORD).len(), 1);
    assert!(secrets_in("GET:imprese.openapi.it/base 4a6af340-2672-11ec-8114-3ba47a898cf0").is_empty());
}

/// What a reader copies stands on top, and the scaffolding in one function at the bottom.
#[test]
fn every_example_is_short_and_says_first_what_it_shows_and_how_to_run_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut examples: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    examples.sort();
    assert_eq!(examples.len(), 8, "{examples:?}");
    for path in examples {
        let (name, text) = (path.file_stem().unwrap().to_str().unwrap(), fs::read_to_string(&path).unwrap());
        let first = text.lines().next().unwrap();
        let command = format!(": `cargo run --example {name} --features emulator");
        assert!(first.starts_with("//! Shows ") && first.contains(&command), "{name}: {first}");
        assert!(text.lines().count() < 130, "{name}: {} lines", text.lines().count());
        let functions: Vec<&str> = text.split("\nasync fn ").collect();
        let (last, before) = functions.split_last().unwrap();
        let is_marked =
            before.concat().lines().last().is_some_and(|line| line.starts_with("/// SCAFFOLDING, not to copy"));
        assert!(
            is_marked && last.starts_with("emulated(") || name == "emulator",
            "{name}: no scaffolding at the bottom"
        );
    }
}

#[test]
fn quickstart_counts_logins_refreshes_and_tokens() {
    let out = emulated("quickstart");
    let keliweb = out.lines().nth(1).unwrap();
    let refreshes = keliweb
        .strip_prefix("Keliweb Fatture: 1440 calls over 24 simulated hours: 1 login, ")
        .and_then(|rest| rest.strip_suffix(" refreshes"));
    // A token lives an hour, and the client refreshes it at most six minutes before its end.
    assert!(refreshes.is_some_and(|count| (23..=26).contains(&count.parse().unwrap())), "{out}");
    assert_lines(
        &out,
        &[
            "Openapi.it: 12 calls at once to 3 endpoints: 3 tokens made, 0 left behind",
            "Openapi.it, version 1: 1 token made and deleted",
        ],
    );
}

#[test]
fn invoices_logs_in_once() {
    let folder = std::env::temp_dir().join(format!("gettone-examples-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut command = command("invoices");
    command.envs(["TMPDIR", "TEMP", "TMP"].map(|name| (name, &folder)));
    let (out, err, is_success) = run(command);
    assert!(is_success && err.is_empty(), "{out}{err}");
    let rows: Vec<Vec<&str>> =
        out.lines().skip(2).map(|line| line.split_whitespace().rev().take(4).collect()).collect();
    let expected = [["0", "1", "OK", "200"], ["0", "1", "OK", "200"], ["1", "1", "OK", "200"], ["2", "1", "OK", "200"]];
    assert_eq!(rows, expected, "refreshes, logins, status:\n{out}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "a file was left behind");
    fs::remove_dir(&folder).unwrap();
}

/// With a server if there is one, and otherwise with a file.
#[test]
fn a_fleet_sends_one_request_an_hour_and_one_more_for_a_kill() {
    let out = emulated("fleet");
    let requests = |hour: u32| out.lines().filter(|line| line.starts_with(&format!("hour {hour}: program"))).count();
    assert_eq!([1, 2, 4, 5].map(requests), [1; 4], "{out}");
    assert!((1..=3).contains(&requests(3)), "{out}");
    assert_lines(&out, &["6 programs are left, with one token"]);
}

#[test]
fn company_data_makes_one_token_for_all_calls() {
    let out = emulated("company_data");
    let has_response = |number: &str| out.contains(&format!("\n{number} 200 OK, "));
    assert!(["12345670124", "12485671007", "00905811006"].into_iter().all(has_response), "{out}");
    assert_lines(&out, &["tokens deleted 1", "tokens made 1", "calls 3"]);
}

#[test]
fn custom_store_is_shared_and_survives_a_restart() {
    let out = emulated("custom_store");
    assert_lines(
        &out,
        &[
            "two clients share a token true",
            "so does one after a restart true",
            "tokens deleted 1",
            "the table is empty true",
            "tokens made 1",
            "the store passes the checks true",
        ],
    );
}

#[test]
fn usage_adds_up_to_the_cent() {
    let out = emulated("usage");
    assert_lines(
        &out,
        &[
            "2026-02-01 requests billed free",
            "GET:imprese.openapi.it/IT-full 1 1 unknown",
            "GET:sms.openapi.com/root 7 0 unlimited",
            "sum 8 1",
            "2026-02 requests billed free",
            "sum 8 1",
            "2026 requests billed free",
            "GET:imprese.openapi.it/IT-full 6 6 unknown",
            "GET:imprese.openapi.it/base 2 2 10",
            "GET:sms.openapi.com/root 7 0 unlimited",
            "sum 15 8",
            "total requests billed free",
            "GET:imprese.openapi.it/IT-full 6 6 unknown",
            "GET:imprese.openapi.it/base 14 4 10",
            "sum 27 10",
            "credit 422.93 EUR",
            "spent 0.45 EUR",
        ],
    );
    // The tables are aligned: all lines have the same length, except the sum, which has no last column.
    let (text, ..) = run(command("usage"));
    let lengths: Vec<usize> = text.lines().filter(|line| line.contains("unlimited")).map(str::len).collect();
    assert!(lengths.len() == 4 && lengths.iter().all(|length| *length == lengths[0]), "{text}");
}

#[test]
fn spend_adds_up_to_the_cent() {
    let out = emulated("spend");
    // 25 calls at 0.045 EUR: 17 beyond the free ones, 6 that have none, and 2 beyond the subscription.
    let long = "█".repeat(25);
    assert_lines(
        &out,
        &[
            "wallet 422.255 EUR",
            "transactions EUR",
            "API usage - imprese.openapi.it -1.035",
            "API usage - sms.openapi.com -0.090",
            "2026-10 EUR requests",
            "GET:imprese.openapi.it/base 0.765 27",
            "GET:imprese.openapi.it/IT-full 0.270 6",
            "GET:sms.openapi.com/root 0.090 7",
            "day EUR",
            &format!("2026-10-20 {long} 0.405"),
            "2026-10-22 0.000",
            "2026-10-25 ██████ 0.090",
        ],
    );
    // The table and the chart are aligned.
    let (text, ..) = run(command("spend"));
    let ends: Vec<usize> = text
        .lines()
        .filter(|line| line.contains(" 0."))
        .filter_map(|line| Some(line[..line.find(" 0.")?].chars().count()))
        .collect();
    assert!(ends.len() == 10 && ends.iter().all(|end| *end == ends[0]), "{ends:?}\n{text}");
}

#[test]
fn emulator_prints_what_to_try() {
    let mut child = command("emulator").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut seen: Vec<String> = lines.take_while(|line| !line.starts_with("Ctrl-C")).collect();
    // It can be controlled from other languages.
    let control = seen.iter().find_map(|line| line.strip_prefix("Control: http://")).unwrap();
    let (host, path) = control.split_once(' ').unwrap().0.split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, *b"HTTP/1.1 200", "{control}");
    child.kill().unwrap();
    child.wait().unwrap();
    seen.retain(|line| line.contains("http://127.0.0.1:"));
    assert!(seen.len() >= 5, "{seen:?}");
}

/// Starts a proxy that rejects every connection and reports which host was requested.
fn closed_proxy() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asked, hosts) = mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).unwrap_or_default() == 0 {
                    break;
                }
                head.extend_from_slice(&byte);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            // Reported before the response, after which the example may have ended.
            if asked.send(head.split(' ').take(2).collect::<Vec<_>>().join(" ")).is_err() {
                break;
            }
            let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (url, hosts)
}

/// Asserts that an example with an account requests a tunnel to one host only, and reports that it gets none.
fn assert_asks_for(name: &str, arguments: &[&str], account: &[&str], host: &str) {
    let (proxy, hosts) = closed_proxy();
    let mut command = command(name);
    command.args(arguments).envs(account.iter().map(|name| (name, SECRET)));
    command.env("https_proxy", &proxy).env("HTTPS_PROXY", &proxy);
    let (out, err, is_success) = run(command);
    assert!(!is_success && err.contains("proxy"), "{name}: {out}{err}");
    let asked: Vec<String> = hosts.try_iter().collect();
    assert!(
        !asked.is_empty() && asked.iter().all(|asked| *asked == format!("CONNECT {host}:443")),
        "{name}: {asked:?}"
    );
}

#[test]
fn an_account_leads_to_the_sandbox_and_only_a_flag_to_production() {
    let account = &ACCOUNT[..2];
    for name in ["company_data", "custom_store", "spend", "quickstart"] {
        assert_asks_for(name, &[], account, "test.oauth.openapi.com");
        assert_asks_for(name, &["--production"], account, "oauth.openapi.com");
    }
    assert_asks_for("usage", &[], account, "test.oauth.openapi.it");
    assert_asks_for("usage", &["--production"], account, "oauth.openapi.it");
}

#[test]
fn a_customer_of_keliweb_leads_quickstart_to_keliweb() {
    assert_asks_for("quickstart", &[], &ACCOUNT[2..], "fatture.keliweb.it");
}

#[test]
fn invoices_talks_to_the_service_only_with_a_flag() {
    let folder = std::env::temp_dir().join(format!("gettone-examples-invoices-{}", std::process::id()));
    let file = folder.join("tokens.json");
    let arguments = ["--production", "https://fatture.keliweb.it/x", file.to_str().unwrap()];
    assert_asks_for("invoices", &arguments, &ACCOUNT[2..], "fatture.keliweb.it");
    fs::remove_dir_all(&folder).unwrap();
    let mut without_a_flag = command("invoices");
    without_a_flag.envs(ACCOUNT[2..].iter().map(|name| (name, SECRET)));
    let (out, _, is_success) = run(without_a_flag);
    assert!(is_success && out.contains("(emulated on this machine)"), "{out}");
}

#[test]
fn help_is_printed_and_nothing_is_requested() {
    let (openapi, keliweb) = (&ACCOUNT[..2], &ACCOUNT[2..]);
    for (name, options, variables) in [
        ("company_data", &["--production"][..], openapi),
        ("custom_store", &["--production"], openapi),
        ("emulator", &["--port <number>"], &[]),
        ("fleet", &[], &["FLEET_STORE"]),
        ("invoices", &["--production <URL> <token file>"], keliweb),
        ("quickstart", &["--production"], &ACCOUNT),
        ("spend", &["--production"], openapi),
        ("usage", &["--production"], openapi),
    ] {
        let (proxy, hosts) = closed_proxy();
        // With an account, so that a request would be seen.
        for arguments in [&["--help"][..], &["-h"], &["--production", "--help"]] {
            let mut command = command(name);
            command.args(arguments).envs(ACCOUNT.iter().map(|name| (name, SECRET)));
            command.env("https_proxy", &proxy).env("HTTPS_PROXY", &proxy);
            let (out, err, is_success) = run(command);
            assert!(is_success && err.is_empty(), "{name}: {out}{err}");
            for expected in
                options.iter().chain(variables).chain(&["\nOptions:\n", "-h, --help", "\nEnvironment variables"])
            {
                assert!(out.contains(expected), "{name}: `{expected}` is missing:\n{out}");
            }
            assert!(!out.contains("emulated on this machine") && !out.contains("http://"), "{name}: {out}");
            assert!(out.lines().all(|line| line.chars().count() <= 130), "{name}: {out}");
        }
        assert_eq!(hosts.try_iter().count(), 0, "{name}");
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let mut command = command("emulator");
    command.args(["--port", &port]);
    let (out, err, is_success) = run(command);
    assert!(!is_success && out.is_empty(), "{out}");
    let reason = err.trim().strip_prefix(&format!("port {port} of 127.0.0.1: "));
    assert!(reason.is_some_and(|reason| !reason.is_empty()), "{err}");
}

#[test]
fn a_wrong_argument_or_a_missing_variable_is_named() {
    for (name, arguments, expected) in [
        ("company_data", &["--prod"][..], "unknown argument `--prod`; expected none, or --production"),
        ("custom_store", &["--prod"], "unknown argument `--prod`; expected none, or --production"),
        ("spend", &["--prod"], "unknown argument `--prod`; expected none, or --production"),
        ("usage", &["--prod"], "unknown argument `--prod`; expected none, or --production"),
        ("invoices", &["--production"], "expected no arguments, or: --production <URL> <token file>"),
        ("company_data", &["--production"], "OPENAPI_EMAIL is not set, OPENAPI_API_KEY is not set"),
        ("custom_store", &["--production"], "OPENAPI_EMAIL is not set, OPENAPI_API_KEY is not set"),
        ("usage", &["--production"], "OPENAPI_EMAIL is not set, OPENAPI_API_KEY is not set"),
        ("quickstart", &["--prod"], "unknown argument `--prod`; expected none, or --production"),
        ("quickstart", &["--production"], "OPENAPI_EMAIL is not set, OPENAPI_API_KEY is not set"),
        ("invoices", &["--production", "https://fatture.keliweb.it/x", "tokens.json"], "KELIWEB_CLIENT_ID is not set"),
    ] {
        let mut command = command(name);
        command.args(arguments);
        let (out, err, is_success) = run(command);
        assert!(!is_success && err.contains(expected), "{name} {arguments:?}: {out}{err}");
    }
}
