//! Shows a fleet that shares one token, while some programs die: `cargo run --example fleet --features emulator,redis`
//!
//! It runs against the emulator, with a store in Redis or Valkey if there is a server, and otherwise in a file.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gettone::clock::{Clock, ManualClock, SystemClock};
use gettone::emulator::{CLIENT_ID, CLIENT_SECRET, Emulator, PASSWORD, USERNAME};
use gettone::keliweb::{Credentials, Fatture};
use gettone::store::{AnyStore, FileStore, RedisStore};

/// Opens the store that all programs share.
async fn store(place: &str) -> Result<AnyStore, gettone::Error> {
    Ok(match place.contains("://") {
        true => AnyStore::new(RedisStore::builder(place).prefix("gettone-example").connect().await?),
        false => AnyStore::new(FileStore::open(place).await?),
    })
}

/// One program of the fleet. It asks for a token whenever an hour has passed.
async fn program(name: &str, url: &str, place: &str) -> Result<(), Box<dyn Error>> {
    let clock = Arc::new(ManualClock::new(SystemClock::default().now()));
    let fatture = Fatture::builder(Credentials::new(CLIENT_ID, CLIENT_SECRET, USERNAME, PASSWORD))
        .base_url(url)
        .user_agent(name)
        .http(|http| http.no_proxy())
        .store(store(place).await?)
        .clock(clock.clone())
        .build()?;
    for hour in std::io::stdin().lines() {
        hour?;
        clock.advance(Duration::from_secs(60 * 60));
        let token = fatture.token().await?;
        fatture.wait_idle().await;
        println!("{name} has {token:?}"); // the text is not printed
    }
    Ok(())
}

const HELP: &str = "\
Eight programs that share the token of one account of Keliweb Fatture, while some of them are killed.

It runs against the emulator, on this machine. The store is in Redis or Valkey: on a server that it starts itself, if
redis-server or valkey-server is in the PATH, or on the server that FLEET_STORE names; otherwise the store is a file.

Options:
  -h, --help                       prints this

Environment variables:
  FLEET_STORE                      the URL of a server, or the path of a file";

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [.., "--help" | "-h"] => println!("{HELP}"),
        [] => emulated().await?,
        ["--program", name, url, place] => program(name, url, place).await?,
        _ => return Err("expected no arguments".into()),
    }
    Ok(())
}

fn start(number: usize, url: &str, place: &str) -> std::io::Result<(Child, ChildStdin)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--program", &format!("program-{number}"), url, place]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = child.stdin.take().ok_or("no input").map_err(std::io::Error::other)?;
    Ok((child, input))
}

/// SCAFFOLDING, not to copy: the emulator, a server, the processes, and what they did.
async fn emulated() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("gettone-fleet-{}", std::process::id()));
    let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let mut servers = ["redis-server", "valkey-server"].into_iter().filter_map(|name| {
        let mut server = tokio::process::Command::new(name);
        server.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        server.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().ok()
    });
    let given = std::env::var("FLEET_STORE").ok();
    let server = if given.is_none() { servers.next() } else { None };
    let place = match &server {
        Some(_) => format!("redis://127.0.0.1:{port}"),
        None => given.unwrap_or(folder.join("tokens.json").display().to_string()),
    };
    while server.is_some() && std::net::TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
        SystemClock::default().sleep(Duration::from_millis(20)).await;
    }
    let emulator = Emulator::start().await?;
    emulator.set_latency(Duration::from_millis(200));
    let kind = if place.contains("://") { "a server" } else { "a file" };
    println!("Keliweb Fatture (emulated on this machine); the store is {kind}");
    let mut fleet =
        (1..=8).map(|number| start(number, &emulator.keliweb_url(), &place)).collect::<Result<Vec<_>, _>>()?;
    for hour in 1..=5 {
        emulator.advance(Duration::from_secs(60 * 60));
        let before = emulator.requests().len();
        fleet.iter_mut().try_for_each(|(_, input)| writeln!(input, "{hour}"))?;
        for (mut child, _) in fleet.drain(..if hour == 3 { 2 } else { 0 }) {
            SystemClock::default().sleep(Duration::from_millis(100)).await;
            child.kill()?;
            child.wait()?;
            println!("  hour {hour}: a program was killed");
        }
        for (child, _) in &mut fleet {
            let output = child.stdout.as_mut().ok_or("no output")?;
            BufReader::with_capacity(64, output).read_line(&mut String::new())?;
        }
        for request in &emulator.requests()[before..] {
            let name = request.user_agent.as_deref().and_then(|agent| agent.split(' ').next()).unwrap_or_default();
            println!("  hour {hour}: {name} sent {}", request.operation);
        }
    }
    println!("  {} programs are left, with one token", fleet.len());
    let _ = std::fs::remove_dir_all(folder);
    Ok(())
}
