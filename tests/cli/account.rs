//! What an account has and did, as `openapi scopes`, `wallet`, `stats` and the like show it.

use std::fs;
use std::path::Path;

use gettone::emulator::{Emulator, Limit};
use gettone::openapi::Decimal;
use gettone::reqwest::{Client, header::HOST};
use httpmock::{Mock, MockServer};
use serde_json::{Value, json};

use crate::world::{World, wait};

/// Adds a list in the form of version 2 to a server.
pub async fn mock<'s>(server: &'s MockServer, path: &str, data: Value) -> Mock<'s> {
    let path = path.to_owned();
    let answer = json!({ "data": data, "success": true, "message": "", "error": null });
    server
        .mock_async(move |when, then| {
            when.method("GET").path(path);
            then.status(200).json_body(answer);
        })
        .await
}

/// A world whose account made calls: five of one scope, three of another.
pub async fn used() -> World {
    let base = "GET:imprese.openapi.it/base";
    let builder = Emulator::builder().price(Decimal::new(45, 3)).limit(base.parse().unwrap(), Limit::Calls(2));
    let world = World::with(builder.subscription("GET:imprese.openapi.it/IT-full".parse().unwrap(), 10)).await;
    let scopes = [base, "GET:sms.openapi.com/root", "GET:imprese.openapi.it/IT-full"];
    let token = world.run(&[&["openapi", "token"], &scopes[..]].concat()).await.line().to_owned();
    let http = Client::builder().no_proxy().build().unwrap();
    for (host, path, calls) in
        [("imprese.openapi.it", "/base", 5), ("sms.openapi.com", "/", 6), ("imprese.openapi.it", "/IT-full", 1)]
    {
        for _call in 0..calls {
            let request = http.get(world.emulator.url(path)).header(HOST, host).bearer_auth(&token);
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
    }
    // This call fails, since the token is not good for it.
    let request = http.post(world.emulator.url("/root")).header(HOST, "comparabili.openapi.it").bearer_auth(&token);
    assert_ne!(request.send().await.unwrap().status(), 200);
    world
}

/// Runs a command with `--json`, and checks the result against its schema.
async fn json_of(world: &World, schema: &str, arguments: &[&str]) -> Value {
    let json = world.run(&[&["--json", "openapi"], arguments].concat()).await.json();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cli/schemas/{schema}.json"));
    let mut schema: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    // A field that is not in the schema is a mistake too.
    schema["unevaluatedProperties"] = false.into();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mistakes: Vec<String> = validator.iter_errors(&json).map(|mistake| mistake.to_string()).collect();
    assert!(mistakes.is_empty(), "{arguments:?}: {mistakes:?}: {json}");
    json
}

#[tokio::test]
async fn what_was_called_and_paid_is_shown_the_most_expensive_first() {
    let world = used().await;
    let stats = json_of(&world, "stats", &["stats"]).await;
    let entry = &stats["entries"][0];
    assert_eq!((&entry["requests"], &entry["wallet_amount"]), (&json!(13), &json!("0.405")), "{stats}");

    let run = world.run(&["openapi", "stats", "--by", "scope"]).await;
    let rows: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0][..3], ["GET:sms.openapi.com/root", "6", "6"], "{run:?}");
    assert_eq!(rows[0][5], "0.27");
    assert_eq!(rows[1][..3], ["GET:imprese.openapi.it/base", "5", "3"]);
    assert_eq!(rows[1][5], "0.135");
    assert_eq!(rows.len(), 4);

    let stats = json_of(&world, "stats", &["stats", "--by", "domain", "total"]).await;
    assert_eq!((&stats["period"], stats["entries"].as_array().unwrap().len()), (&json!("total"), 3));
    let stats = json_of(&world, "stats", &["stats", "--by", "ip", "year"]).await;
    assert_eq!(stats["entries"][0]["name"], "127.0.0.1");
    let days = json_of(&world, "stats", &["stats", "--by", "day"]).await;
    let paid: Vec<&Value> = days["entries"].as_array().unwrap().iter().map(|day| &day["requests"]).collect();
    assert!(paid.contains(&&json!(13)), "{days}");
    let months = json_of(&world, "stats", &["stats", "--by", "day", "2025"]).await;
    assert_eq!(months["entries"].as_array().unwrap().len(), 12);

    let counters = json_of(&world, "counters", &["counters", "--api-version", "1"]).await;
    let first = &counters["counters"][0];
    assert_eq!((&first["scope"], &first["paid"]), (&json!("GET:sms.openapi.com/root"), &json!(6)), "{counters}");
    let run = world.run(&["openapi", "counters", "total", "--api-version", "1"]).await;
    assert!(run.stdout.contains("GET:imprese.openapi.it/base\t5\t3\t2\n"), "{run:?}");
}

#[tokio::test]
async fn credit_errors_subscriptions_and_scopes_are_shown_by_their_schemas() {
    let world = used().await;
    let wallet = json_of(&world, "wallet", &["wallet"]).await;
    assert_eq!(wallet["credit"], "422.975");
    assert_eq!(json_of(&world, "wallet", &["credit", "--api-version", "1"]).await["credit"], "422.975");
    assert!(world.run(&["openapi", "wallet"]).await.line().starts_with("422.975\t2"));
    let wallet = json_of(&world, "wallet", &["wallet", "--transactions"]).await;
    assert_eq!(wallet["transactions"].as_array().unwrap().len(), 9);
    assert_eq!(wallet["transactions"][0]["amount"], "-0.045");

    let errors = json_of(&world, "errors", &["errors"]).await;
    assert_eq!(errors["errors"][0]["scope"], "POST:comparabili.openapi.it/root", "{errors}");
    let one = json_of(&world, "errors", &["errors", "--scope", "GET:sms.openapi.com/root"]).await;
    assert_eq!(one, json!({ "errors": [], "unreadable": 0 }));

    let list = json_of(&world, "subscriptions", &["subscriptions"]).await;
    let id = list["subscriptions"][0]["id"].as_str().unwrap();
    let detail = json_of(&world, "subscription", &["subscriptions", id]).await;
    assert_eq!((&detail["available_requests"], &detail["total_requests"]), (&json!(9), &json!(10)));
    assert!(world.run(&["openapi", "subscriptions", id]).await.stdout.contains("requests left\t9\n"));

    let scopes = json_of(&world, "scopes", &["scopes", "*:imprese.openapi.it/*", "--prices", "--all"]).await;
    assert_eq!(scopes["scopes"][0]["scope"], "GET:imprese.openapi.it/base");
    let prices: Vec<&Value> = scopes["scopes"][0]["terms"]["prices"].as_object().unwrap().values().collect();
    assert_eq!(prices, ["0.045"]);
    assert_eq!(json_of(&world, "scopes", &["scopes"]).await["scopes"].as_array().unwrap().len(), 17);
    world.run(&["openapi", "token", "*:imprese.openapi.it/*", "--api-version", "1"]).await.line();
    let of_v1 = json_of(&world, "scopes", &["scopes", "--api-version", "1"]).await;
    assert_eq!(of_v1["scopes"].as_array().unwrap().len(), 2, "{of_v1}");
    let run = world.run(&["openapi", "scopes", "*:nobody.it/*"]).await;
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    assert!(run.stderr.contains("warning: *:nobody.it/* covers none of the account's scopes"), "{run:?}");

    json_of(&world, "tokens-list", &["tokens", "--show-tokens"]).await;
    let id = json_of(&world, "tokens-list", &["tokens"]).await["tokens"][0]["id"].as_str().unwrap().to_owned();
    json_of(&world, "tokens-show", &["tokens", "show", &id]).await;
    json_of(&world, "tokens-delete", &["tokens", "delete", &id, "--yes"]).await;
}

#[tokio::test]
async fn a_callback_is_shown_without_what_its_url_hides() {
    let world = World::new().await;
    let url = "https://user:hidden1@shop.example/hook?key=hidden2#hidden3";
    let id = world.emulator.add_callback(&"POST:sms.openapi.com/root".parse().unwrap(), url, 200);
    let list = json_of(&world, "callbacks", &["callbacks"]).await;
    assert_eq!(list["callbacks"][0]["url"], "https://shop.example/hook?...");
    json_of(&world, "callback", &["callbacks", &id]).await;
    for arguments in [&["callbacks"][..], &["callbacks", &id]] {
        let run = world.run(&[&["openapi"], arguments].concat()).await;
        assert!(run.stdout.contains("https://shop.example/hook?...") && !run.stdout.contains("hidden"), "{run:?}");
    }
}

#[tokio::test]
async fn what_a_version_lacks_is_refused_with_the_command_that_has_it() {
    let world = World::new().await;
    for (arguments, instead) in [
        (&["--api-version", "1", "stats"][..], "`gettone openapi counters --api-version 1`"),
        (&["--api-version", "1", "errors"], "`gettone openapi errors --api-version 2`"),
        (&["--api-version", "1", "callbacks"], "`gettone openapi callbacks --api-version 2`"),
        (&["--api-version", "1", "subscriptions"], "`gettone openapi subscriptions --api-version 2`"),
        (
            &["--api-version", "1", "wallet", "--transactions"],
            "`gettone openapi wallet --transactions --api-version 2`",
        ),
        (&["--api-version", "1", "scopes", "--prices"], "`gettone openapi scopes --api-version 2`"),
        (&["counters"], "`gettone openapi stats --by scope`"),
        (&["stats", "--by", "day", "2026-10-31"], "use a month or a year"),
        (&["stats", "2026-13"], "there is no such month"),
        (&["stats", "yesterday"], "`day`, `month` or `year`"),
        (&["errors", "--limit", "0"], "for '--limit <NUMBER>': number would be zero"),
    ] {
        world.run(&[&["openapi"], arguments].concat()).await.fails(2, instead);
    }
    assert_eq!(world.requests(), 0);
}

/// Gives an account very many transactions.
async fn rich() -> World {
    let world = World::new().await;
    for number in 1..=1_000 {
        world.emulator.set_credit(Decimal::from(1_000 + number));
    }
    world
}

#[tokio::test]
async fn a_long_list_is_read_page_by_page_and_only_as_far_as_wanted() {
    let world = rich().await;
    let run = world.run(&["openapi", "wallet", "--transactions"]).await;
    assert_eq!((run.code, run.stdout.lines().count()), (0, 1_000));
    let pages = world.emulator.count("list_wallet_transactions");
    assert!((10..=12).contains(&pages), "{pages}");
    let run = world.run(&["openapi", "wallet", "--transactions", "--limit", "120", "--json"]).await;
    assert_eq!(run.json()["transactions"].as_array().unwrap().len(), 120);
    assert_eq!(world.emulator.count("list_wallet_transactions"), pages + 2);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_not_an_error() {
    let world = rich().await;
    for format in ["", "--json"] {
        // More than a pipe holds.
        let run = world.bash(&format!("gettone openapi wallet --transactions {format} | head -c 1")).await;
        assert_eq!((run.code, run.stdout.len(), run.stderr.as_str()), (0, 1, ""), "{run:?}");
    }
    let run =
        wait(world.any("bash").args(["-c", "gettone openapi wallet --transactions > /dev/full"]).spawn().unwrap());
    run.await.fails(1, "cannot write the result to stdout");
}

#[tokio::test]
async fn hostile_texts_of_a_service_do_not_reach_a_terminal() {
    // A title, a new line, a tab, a clearing of the screen as one character beyond ASCII, and text that runs backwards.
    let text = "\u{1b}]0;title\u{7}\r\nnext\tcell\u{9b}2J\u{202e}end";
    let (mut world, server) = (World::new().await, MockServer::start_async().await);
    let time = "2026-01-01T00:00:00Z";
    let entry =
        json!({ "id": text, "scope": text, "message": text, "ip": text, "errorAt": time, "httpResponseCode": 500 });
    let token = json!({ "token": "token-1", "name": text, "expireAt": time, "scopes": [text] });
    let mocks = [
        mock(&server, "/errors", json!([entry])).await,
        mock(&server, "/wallet/transactions", json!([{ "id": "1", "amount": 1, "description": text }])).await,
        mock(&server, "/wallet", json!({ "credit": 1 })).await,
        mock(&server, "/tokens", json!([token])).await,
        mock(&server, "/subscriptions", json!([{ "id": text, "scope": text }])).await,
        mock(&server, "/callbacks", json!([{ "id": text, "url": text, "scope": text }])).await,
    ];
    world.set("GETTONE_OPENAPI_URL", server.base_url());
    for arguments in [&["errors"][..], &["wallet", "--transactions"], &["tokens"], &["subscriptions"], &["callbacks"]] {
        for format in [&[][..], &["--json"]] {
            let run = world.run(&[&["openapi"], arguments, format].concat()).await;
            assert_eq!((run.code, run.stdout.lines().count()), (0, 1), "{run:?}");
            let is_obeyed = |c: char| c.is_control() && !"\t\n".contains(c) || c == '\u{202e}';
            assert!(!run.stdout.contains(is_obeyed), "{arguments:?}: {:?}", run.stdout);
            if format.is_empty() {
                let expected = run.stdout.matches("]0;title").count();
                assert!(expected > 0 && run.stdout.matches("next cell 2J end").count() == expected, "{run:?}");
            } else {
                assert!(run.json().to_string().contains("\u{9b}2J\u{202e}end"));
            }
        }
    }
    for mock in mocks {
        assert!(mock.calls_async().await > 0);
    }
}

#[tokio::test]
async fn hostile_messages_of_failures_do_not_reach_a_terminal() {
    let (mut world, server) = (World::new().await, MockServer::start_async().await);
    let failure = server.mock_async(|when, then| {
        when.method("GET");
        let message = "bad\u{1b}[2J\u{9b}2J\r\nfilter\u{202e}";
        then.status(400).json_body(json!({ "data": null, "success": false, "message": message, "error": 999 }));
    });
    let failure = failure.await;
    world.set("GETTONE_OPENAPI_URL", server.base_url());
    for arguments in [&["openapi", "errors"][..], &["openapi", "errors", "--json"], &["openapi", "errors", "-v"]] {
        let run = world.run(arguments).await;
        run.fails(1, "filter");
        assert!(!run.stderr.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{run:?}");
    }
    assert_eq!(failure.calls_async().await, 3);
}

#[tokio::test]
async fn entries_that_cannot_be_read_are_counted() {
    let (mut world, server) = (World::new().await, MockServer::start_async().await);
    let list = mock(&server, "/errors", json!([{ "id": "1" }, { "no": "id" }, 7])).await;
    world.set("GETTONE_OPENAPI_URL", server.base_url());
    let run = world.run(&["openapi", "errors", "--json"]).await;
    assert_eq!((&run.json()["unreadable"], run.json()["errors"].as_array().unwrap().len()), (&json!(2), 1));
    assert!(run.stderr.contains("cannot be read"), "{run:?}");
    assert_eq!(list.calls_async().await, 1);
}

#[tokio::test]
async fn no_command_of_the_account_shows_a_secret() {
    let mut world = used().await;
    // Its clocks go back and forth; times are UTC all the same.
    world.set("TZ", "Europe/Rome");
    let id = world.run(&["openapi", "tokens"]).await.line()[..10].to_owned();
    let (mut all, mut requests) = (String::new(), world.requests());
    for arguments in [
        &["tokens"][..],
        &["tokens", "show", &id],
        &["scopes", "*:sms.openapi.com/*", "--prices"],
        &["wallet", "--transactions"],
        &["stats", "--by", "scope"],
        &["errors"],
        &["subscriptions"],
        &["callbacks"],
        &["--api-version", "1", "counters"],
        &["--api-version", "1", "tokens"],
        &["tokens", "delete", &id, "--yes"],
    ] {
        for format in ["--color=always", "--json"] {
            if format == "--json" && arguments.contains(&"delete") {
                continue;
            }
            let run = world.run(&[&["-v", "openapi"], arguments, &[format]].concat()).await;
            assert_eq!(run.code, 0, "{run:?}");
            assert!(world.requests() > requests, "{arguments:?}");
            requests = world.requests();
            world.assert_clean(&format!("{arguments:?}"), &format!("{}{}", run.stdout, run.stderr));
            all += &run.stdout;
        }
    }
    let times =
        all.split(|c: char| c.is_whitespace() || c == '"').filter(|text| text.contains('T') && text.starts_with("20"));
    let times: Vec<&str> = times.collect();
    assert!(times.len() > 20 && times.iter().all(|time| time.len() == 20 && time.ends_with('Z')), "{times:?}");
}
