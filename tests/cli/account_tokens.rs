//! `openapi tokens`: what it lists, what it deletes, and what it refuses.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use gettone::ScopeSet;
use gettone::emulator::{Api, Fault};
use gettone::openapi::{Credentials, Ttl, v1, v2};
use httpmock::MockServer;
use serde_json::{Value, json};

use crate::account::mock;
use crate::world::{API_KEY, SCOPE, World, until, wait};

const VERSIONS: [(&str, Api); 2] = [("1", Api::Production), ("2", Api::ProductionV2)];

pub fn short_id(token: &str) -> String {
    digest(&SHA256, token.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()[..10].into()
}

/// Creates tokens in an account, and returns them.
async fn create(world: &World, version: &str, count: usize) -> Vec<String> {
    let credentials = || Credentials::new("test@example.com", API_KEY);
    let scopes = ScopeSet::parse([SCOPE, "GET:imprese.openapi.it/base", "GET:imprese.openapi.it/IT-full"]).unwrap();
    let mut tokens = Vec::new();
    for number in 0..count {
        let token = if version == "1" {
            let oauth = v1::Oauth::builder(credentials()).base_url(world.emulator.production_url()).build().unwrap();
            oauth.create_token(&scopes, Ttl::days(1).unwrap()).await.unwrap().token().clone()
        } else {
            let oauth = v2::Oauth::builder(credentials()).base_url(world.emulator.production_v2_url()).build().unwrap();
            let new = v2::NewToken::new(&scopes, Ttl::days(1).unwrap()).name(format!("name {number}"));
            oauth.create_token(new).await.unwrap().token().clone()
        };
        tokens.push(token.expose().to_owned());
    }
    tokens
}

fn valid(world: &World, api: Api) -> Vec<String> {
    let tokens = world.emulator.tokens().into_iter().filter(|token| token.api == api && token.is_valid);
    tokens.map(|token| token.token.expose().to_owned()).collect()
}

#[tokio::test]
async fn one_token_of_three_is_deleted_by_its_short_id() {
    for (version, api) in VERSIONS {
        let world = World::new().await;
        let tokens = create(&world, version, 3).await;
        let run = |arguments: &[&'static str]| [&["openapi", "--api-version", version, "tokens"], arguments].concat();

        let listed = world.run(&run(&[])).await;
        let ids: Vec<&str> = listed.stdout.lines().map(|line| line.split('\t').next().unwrap()).collect();
        assert_eq!(ids, tokens.iter().map(|token| short_id(token)).collect::<Vec<_>>());
        assert!(listed.stdout.contains("GET:127.0.0.1/echo, GET:imprese.openapi.it/* (2)"), "{}", listed.stdout);
        world.assert_clean("the list", &listed.stdout);

        let id: &'static str = ids[1][..6].to_owned().leak();
        let deleted = world.run(&run(&["delete", id, "--yes"])).await;
        assert_eq!(deleted.line(), ids[1]);
        assert_eq!(valid(&world, api), [tokens[0].clone(), tokens[2].clone()]);

        world.run(&run(&["delete", id, "--yes"])).await.fails(1, "no token of the account has the short id");
        assert_eq!(valid(&world, api).len(), 2);
    }
}

#[tokio::test]
async fn all_tokens_are_deleted_and_none_is_left() {
    for (version, api) in VERSIONS {
        let world = World::new().await;
        create(&world, version, 2).await;
        let run =
            world.run(&["openapi", "--api-version", version, "tokens", "delete", "--all", "--yes", "--json"]).await;
        assert_eq!(run.json()["deleted"].as_array().unwrap().len(), 2);
        assert_eq!(valid(&world, api), [""; 0]);
        let run = world.run(&["openapi", "--api-version", version, "tokens", "delete", "--all", "-y", "--json"]).await;
        assert_eq!(run.json(), json!({ "deleted": [] }));
        let list = world.run(&["openapi", "--api-version", version, "tokens", "--json"]).await;
        assert_eq!(list.json(), json!({ "tokens": [], "unreadable": 0 }));
        let list = world.run(&["openapi", "--api-version", version, "tokens"]).await;
        assert_eq!((list.code, list.stdout.as_str()), (0, ""));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_deletion_that_is_interrupted_names_what_it_deleted() {
    let world = World::new().await;
    let tokens = create(&world, "2", 3).await;
    world.emulator.set_latency(Duration::from_secs(1));
    let child = world.command(&["openapi", "tokens", "delete", "--all", "--yes"]).spawn().unwrap();
    let id = child.id().and_then(|id| rustix::process::Pid::from_raw(id.try_into().unwrap())).unwrap();
    // The first one is deleted, and the response for the second one is under way.
    until(|| world.emulator.count("delete_token") == 2).await;
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let run = wait(child).await;
    let first = tokens.iter().map(|token| short_id(token)).find(|id| run.stderr.contains(id)).unwrap();
    assert_eq!((run.code, run.stderr.as_str()), (130, format!("error: deleted {first}; interrupted\n").as_str()));
}

/// After a timeout the error names the deletions, as it does after a signal.
#[tokio::test]
async fn a_deletion_that_runs_out_of_time_names_what_it_deleted() {
    let world = World::new().await;
    let tokens = create(&world, "2", 3).await;
    world.emulator.set_latency(Duration::from_secs(1));
    let child = world.command(&["--timeout", "8s", "openapi", "tokens", "delete", "--all", "--yes"]).spawn().unwrap();
    // The response for the first one comes in a second, and that for the next one never.
    until(|| world.emulator.count("delete_token") == 1).await;
    world.emulator.set_latency(Duration::from_secs(600));
    let run = wait(child).await;
    assert_eq!(world.emulator.count("delete_token"), 2, "{run:?}");
    let first = tokens.iter().map(|token| short_id(token)).find(|id| run.stderr.contains(id)).unwrap();
    run.fails(75, &format!("error: deleted {first}; no result in time"));
}

#[tokio::test]
async fn tokens_on_stdin_are_deleted() {
    for (version, api) in VERSIONS {
        let world = World::new().await;
        let tokens = create(&world, version, 3).await;
        let delete = ["openapi", "--api-version", version, "tokens", "delete", "-"];
        let text = format!("{}\r\n\n  {}\n{}\n", tokens[0], tokens[2], tokens[0]);

        world.run_with(&delete, &text).await.fails(2, "--yes");
        assert_eq!(valid(&world, api), tokens);
        let run = world.run_with(&[&delete[..], &["--yes"]].concat(), &text).await;
        assert_eq!((run.code, run.stdout.lines().count()), (0, 2), "{run:?}");
        assert_eq!(valid(&world, api), [tokens[1].clone()]);
        world.assert_clean("delete", &format!("{}{}", run.stdout, run.stderr));

        let requests = world.requests();
        world.run_with(&[&delete[..], &["--yes"]].concat(), " \n\n").await.fails(2, "stdin has no token");
        // Otherwise the last ones would stay, and nothing would say so.
        let long = format!("{}{}{}", tokens[1], "\n".repeat(1 << 20), tokens[1]);
        world.run_with(&[&delete[..], &["--yes"]].concat(), &long).await.fails(2, "stdin has more than 1 MiB");
        world.run_with(&[&delete[..], &["abcd", "--yes"]].concat(), &text).await.fails(2, "write it alone");
        let both = [&["--credentials", "-"], &delete[..], &["--yes"]].concat();
        world.run_with(&both, "openapi.email = 'a@b.it'\n").await.fails(2, "stdin cannot have both");
        assert_eq!(world.requests(), requests);
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_deleted_is_named_with_those_that_were() {
    let world = World::new().await;
    let mut tokens = create(&world, "2", 1).await;
    tokens.push("unknown-token".to_owned());
    tokens.sort();
    let run = world.run_with(&["openapi", "tokens", "delete", "-", "-y"], &tokens.join("\n")).await;
    run.fails(1, &format!("cannot delete {}", short_id("unknown-token")));
    let is_first = tokens[0] != "unknown-token";
    let done = format!("deleted {}; ", short_id(&tokens[0]));
    assert_eq!(run.stderr.contains(&done), is_first, "{run:?}");
    assert_eq!(valid(&world, Api::ProductionV2).is_empty(), is_first);
    world.assert_clean("the error", &run.stderr);
    assert!(!run.stderr.contains("unknown-token"), "{run:?}");
}

#[tokio::test]
async fn without_a_terminal_nothing_is_deleted_without_yes() {
    let world = World::new().await;
    let tokens = create(&world, "2", 2).await;
    let (id, requests) = (short_id(&tokens[0]), world.requests());
    for arguments in [vec![id.as_str()], vec!["--all"], vec!["--all", "--no-input"]] {
        let run = world.run(&[&["openapi", "tokens", "delete"], &arguments[..]].concat()).await;
        run.fails(2, "add --yes to delete the tokens");
    }
    assert_eq!((valid(&world, Api::ProductionV2).len(), world.requests()), (2, requests));
}

#[tokio::test]
async fn a_token_in_an_argument_is_refused_and_not_shown() {
    let world = World::new().await;
    let tokens = create(&world, "2", 1).await;
    let requests = world.requests();
    for command in ["delete", "show"] {
        for text in [tokens[0].as_str(), "s3cret", "abc", "abcdef01234", "gggggggg", "\u{1b}[2J1234"] {
            let yes: &[&str] = if command == "delete" { &["--yes"] } else { &[] };
            let run = world.run(&[&["openapi", "tokens", command, text], yes].concat()).await;
            run.fails(2, "argument 1 is not a short id");
            assert!(!run.stderr.contains(text) && run.stderr.contains("stdin"), "{run:?}");
        }
    }
    let run = world.run(&["openapi", "tokens", &tokens[0]]).await;
    run.fails(2, "expected `list`, `show` or `delete`");
    assert!(!run.stderr.contains(&tokens[0]), "{run:?}");
    assert_eq!(world.requests(), requests);
}

/// Returns two texts of tokens whose short ids begin with the same four digits.
fn alike() -> [String; 2] {
    let mut seen: HashMap<String, String> = HashMap::new();
    for number in 0.. {
        let token = format!("token-{number}");
        if let Some(other) = seen.insert(short_id(&token)[..4].to_owned(), token.clone()) {
            return [other, token];
        }
    }
    unreachable!()
}

#[tokio::test]
async fn an_ambiguous_short_id_deletes_nothing() {
    let [first, second] = alike();
    let (mut world, server) = (World::new().await, MockServer::start_async().await);
    let entry = |token: &str| json!({ "token": token, "expireAt": "2030-01-01T00:00:00Z", "scopes": [SCOPE] });
    let list = mock(&server, "/tokens", json!([entry(&first), entry("other"), entry(&second)])).await;
    let gone = server.mock_async(|when, then| {
        when.method("DELETE");
        then.status(200).json_body(json!({ "data": [], "success": true, "message": "", "error": null }));
    });
    let gone = gone.await;
    world.set("GETTONE_OPENAPI_URL", server.base_url());
    let (id, full) = (short_id(&first), short_id(&second));
    let run = world.run(&["openapi", "tokens", "delete", &id[..4], &full, "--yes"]).await;
    run.fails(2, &format!("several short ids: {id}, {full}; give more digits"));
    assert_eq!((list.calls_async().await, gone.calls_async().await), (1, 0));
    let run = world.run(&["openapi", "tokens", "delete", &id, &full.to_uppercase(), &full, "--yes"]).await;
    assert_eq!(run.stdout, format!("{id}\n{full}\n"), "{run:?}");
    assert_eq!(gone.calls_async().await, 2);
}

#[tokio::test]
async fn a_kept_token_is_marked_and_forgotten_when_it_is_deleted() {
    for (version, api) in VERSIONS {
        let world = World::new().await;
        create(&world, version, 1).await;
        let arguments = |words: &[&'static str]| [&["openapi", "--api-version", version], words].concat();
        let kept = world.run(&arguments(&["token", SCOPE])).await.line().to_owned();
        let list = world.run(&arguments(&["tokens", "--json"])).await.json();
        let marks: HashMap<&str, &Value> = list["tokens"]
            .as_array()
            .unwrap()
            .iter()
            .map(|token| (token["id"].as_str().unwrap(), &token["is_kept"]))
            .collect();
        let id = short_id(&kept);
        assert_eq!(marks.len(), 2);
        assert!(marks.iter().all(|(known, mark)| **mark == (*known == id)), "{marks:?}");

        let run = world.run_with(&arguments(&["tokens", "delete", "-", "--yes"]), &kept).await;
        assert_eq!(run.line(), id);
        let another = world.run(&arguments(&["token", SCOPE])).await.line().to_owned();
        assert_ne!(another, kept);
        assert!(valid(&world, api).contains(&another));
    }
}

/// A token whose deletion was refused is still good. One whose deletion may have been carried out is no longer printed.
#[tokio::test]
async fn a_kept_token_is_forgotten_unless_the_service_refuses_to_delete_it() {
    let world = World::new().await;
    let kept = world.run(&["openapi", "token", SCOPE]).await.line().to_owned();
    let delete = ["openapi", "tokens", "delete", "--all", "--yes"];
    for (fault, code) in [(Fault::Status(400), 1), (Fault::Status(401), 4), (Fault::Status(403), 4)] {
        world.emulator.fail_next_on(1_000, "DELETE", fault);
        world.run(&delete).await.fails(code, &format!("cannot delete {}", short_id(&kept)));
        world.emulator.clear_faults();
        let sent = world.requests();
        assert_eq!((world.run(&["openapi", "token", SCOPE]).await.line(), world.requests()), (kept.as_str(), sent));
    }
    world.emulator.fail_next_on(1_000, "DELETE", Fault::LostRequest);
    world.run(&delete).await.fails(75, "cannot delete");
    world.emulator.clear_faults();
    assert_ne!(world.run(&["openapi", "token", SCOPE]).await.line(), kept);
}

/// The next attempt gets a 404 with the service's own code: the token is gone.
#[tokio::test]
async fn a_deletion_whose_response_was_lost_is_a_success() {
    for (version, api) in VERSIONS {
        let world = World::new().await;
        let tokens = create(&world, version, 1).await;
        world.emulator.fail_next_on(1, "DELETE", Fault::LostResponse);
        let run = world.run(&["openapi", "--api-version", version, "tokens", "delete", "--all", "--yes"]).await;
        assert_eq!(run.line(), short_id(&tokens[0]), "{run:?}");
        assert_eq!(valid(&world, api), [""; 0]);
        let deletions = world.emulator.requests().into_iter().filter(|request| request.method == "DELETE");
        assert_eq!(deletions.map(|request| request.status).collect::<Vec<_>>(), [None, Some(404)]);
    }
}

#[tokio::test]
async fn tokens_that_cannot_be_read_are_not_all_deleted() {
    let (mut world, server) = (World::new().await, MockServer::start_async().await);
    let list = mock(&server, "/tokens", json!([{ "no": "token" }])).await;
    world.set("GETTONE_OPENAPI_URL", server.base_url());
    let run = world.run(&["openapi", "tokens", "delete", "--all", "--yes", "-q"]).await;
    run.fails(1, "not deleted, as they cannot be read: 1 token");
    assert_eq!(list.calls_async().await, 1);
}

#[tokio::test]
async fn a_token_is_shown_in_all_detail_and_its_text_on_demand() {
    let world = World::new().await;
    let tokens = create(&world, "2", 1).await;
    let id = short_id(&tokens[0]);
    let run = world.run(&["openapi", "tokens", "show", &id]).await;
    assert!(run.stdout.contains("scope\tGET:imprese.openapi.it/IT-full\n"), "{run:?}");
    world.assert_clean("show", &run.stdout);
    let json = world.run(&["openapi", "tokens", "show", &id, "--json"]).await.json();
    assert_eq!((&json["name"], &json["token"]), (&json!("name 0"), &Value::Null));
    assert!(json["expires_at"].as_str().unwrap().ends_with('Z'));
    let json = world.run(&["openapi", "tokens", "show", &id, "--json", "--show-tokens"]).await.json();
    assert_eq!(json["token"], tokens[0]);
    let run = world.run(&["openapi", "tokens", "--show-tokens"]).await;
    assert!(run.line().ends_with(&format!("\t{}", tokens[0])));
}

#[tokio::test]
async fn the_list_is_limited_to_what_is_good_for_a_scope() {
    let world = World::new().await;
    create(&world, "2", 2).await;
    for (scope, count) in [("GET:imprese.openapi.it/base/1", 2), ("POST:imprese.openapi.it/base", 0)] {
        let list = world.run(&["openapi", "tokens", "list", "--scope", scope, "--json"]).await.json();
        assert_eq!(list["tokens"].as_array().unwrap().len(), count, "{scope}");
    }
}

#[tokio::test]
async fn a_token_file_that_others_can_read_keeps_nobody_from_deleting_a_token() {
    let world = World::new().await;
    let token = world.run(&["openapi", "token", SCOPE]).await.line().to_owned();
    world.chmod(".local/state/gettone/tokens.json", 0o644);
    let run = world.run(&["openapi", "tokens"]).await;
    assert!(run.line().starts_with(&short_id(&token)) && !run.stdout.contains("here"), "{run:?}");
    assert!(run.stderr.contains("which tokens are kept here is not known") && run.stderr.contains("chmod"), "{run:?}");
    assert_eq!(world.run(&["openapi", "tokens", "delete", "--all", "-y"]).await.line(), short_id(&token));
    assert_eq!(valid(&world, Api::ProductionV2), [""; 0]);
}
