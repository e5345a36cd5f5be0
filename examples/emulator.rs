//! Shows both services on this machine, for curl and for other languages: `cargo run --example emulator --features emulator`
//!
//! With `-- --port 8080` it listens on a port of your choice. Ctrl-C ends it.

use std::error::Error;

use gettone::emulator::Emulator;

const HELP: &str = "\
Runs both services on this machine, at 127.0.0.1, for curl and for other languages. Prints what to try, and how to control
them; Ctrl-C ends it.

Options:
  --port <number>  listens on this port; without it, on a free one
  -h, --help       prints this

Environment variables: none.";

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    let port = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => 0,
        ["--port", port] => port.parse().map_err(|error| format!("--port {port}: {error}"))?,
        other => return Err(format!("unknown arguments {other:?}; expected none, or --port <number>").into()),
    };
    let emulator = Emulator::builder().port(port).control(true).start().await;
    let emulator = emulator.map_err(|error| format!("port {port} of 127.0.0.1: {error}"))?;
    introduce(&emulator);
    tokio::signal::ctrl_c().await?;
    emulator.stop().await;
    Ok(())
}

/// Prints what to try. The keys and passwords are the emulator's own and open nothing else.
fn introduce(emulator: &Emulator) {
    let (account, customer) = (emulator.account(), emulator.customer());
    let (production, sandbox, keliweb) = (emulator.production_url(), emulator.sandbox_url(), emulator.keliweb_url());
    let (production_v2, sandbox_v2) = (emulator.production_v2_url(), emulator.sandbox_v2_url());
    let (email, key, echo) = (account.email(), account.production_key().expose(), emulator.url("/echo/hello"));
    let (api, control, page) = (emulator.url("/api/hello"), emulator.url("/_emulator"), emulator.url("/"));
    let (id, secret) = (customer.client_id(), customer.client_secret().expose());
    let (username, password) = (customer.username(), customer.password().expose());
    println!(
        "Openapi.it Oauth\n\
         \x20 version 1   {production} (production), {sandbox} (sandbox)\n\
         \x20 version 2   {production_v2} (production), {sandbox_v2} (sandbox)\n\
         \x20 e-mail      {email}\n\
         \x20 API key     {key} (production), {} (sandbox)\n\
         \n\
         Keliweb Fatture\n\
         \x20 base URL       {keliweb}\n\
         \x20 client_id      {id}\n\
         \x20 client_secret  {secret}\n\
         \x20 username       {username}\n\
         \x20 password       {password}\n\
         \n\
         Control: {control}/state and more, see docs/testing.md; in a browser: {page}\n\
         \n\
         Try\n\
         \x20 TOKEN=$(curl -s -u {email}:{key} {production}/token \\\n\
         \x20   -H 'Content-Type: application/json' -d '{{\"scopes\":[\"*:127.0.0.1/*\"],\"ttl\":3600}}' \\\n\
         \x20   | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\n\
         \x20 curl -s -H \"Authorization: Bearer $TOKEN\" {echo}\n\
         \x20 curl -s -u {email}:{key} {production}/counters/total\n\
         \x20 curl -s -u {email}:{key} {production}/credit\n\
         \n\
         \x20 TOKEN=$(curl -s -u {email}:{key} {production_v2}/tokens \\\n\
         \x20   -H 'Content-Type: application/json' -d '{{\"scopes\":[\"GET:127.0.0.1/echo\"],\"limits\":{{\"totalRequests\":2}}}}' \\\n\
         \x20   | sed 's/.*\"token\":\"\\([^\"]*\\)\".*/\\1/')\n\
         \x20 curl -s -H \"Authorization: Bearer $TOKEN\" {echo}\n\
         \x20 curl -s -u {email}:{key} {production_v2}/stats\n\
         \x20 curl -s -u {email}:{key} {production_v2}/wallet/transactions\n\
         \n\
         \x20 TOKEN=$(curl -s {keliweb}/oauth/token -H 'Accept: application/json' -d grant_type=password \\\n\
         \x20   -d client_id={id} -d client_secret={secret} \\\n\
         \x20   -d username={username} -d password={password} \\\n\
         \x20   | sed 's/.*\"access_token\":\"\\([^\"]*\\)\".*/\\1/')\n\
         \x20 curl -s -H 'Accept: application/json' -H \"Authorization: Bearer $TOKEN\" {api}\n\
         \n\
         Ctrl-C ends it.",
        account.sandbox_key().expose(),
    );
}
