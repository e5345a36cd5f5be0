//! Two programs of one account, and the tokens of a third, in random orders: each program gets and deletes only its own tokens, and leaves
//! none behind.

use fastrand::Rng;
use gettone::openapi::Ttl;
use gettone::openapi::v2::{Oauth, Renewal};
use gettone::{AccessToken, RefreshToken, Retry, reqwest};

use crate::account_v2::{FakeAccount, Fault, Made, Patching, keeping_http};
use crate::{X, Y, enabled, set};

const TTL: u32 = 7_200;
const SETS: [&[&str]; 4] = [&[X], &[X, Y], &["GET:*.it/*"], &[Y]];

/// What happened in all schedules.
#[derive(Debug, Default)]
struct Sum {
    returned: usize,
    failed: usize,
    created: usize,
    extended: usize,
    listed: usize,
    /// Requests that the service carried out without a response.
    lost: usize,
    revoked: usize,
}

struct Program {
    /// In `User-Agent`.
    by: &'static str,
    oauth: Oauth,
    /// The last token that it got.
    last: Option<AccessToken>,
    /// What it got that for.
    key: usize,
}

fn program(service: &FakeAccount, rng: &mut Rng, http: &reqwest::Client, by: &'static str) -> Program {
    // One name begins like the other.
    let name = if by == "one/1" { "job" } else { "job-1" };
    let retry = if rng.u8(..3) == 0 { Retry::default() } else { Retry::none() };
    let renewal = if rng.u8(..3) > 0 { Renewal::Extend } else { Renewal::Replace };
    let builder = service.builder().http_client(http.clone()).user_agent(by).token_name(name).retry(retry);
    let oauth = builder.renewal(renewal).ttl(Ttl::seconds(TTL).unwrap()).build().unwrap();
    Program { by, oauth, last: None, key: 0 }
}

/// Tokens like those of the programs, which somebody else created.
fn put_foreign(service: &FakeAccount, rng: &mut Rng) {
    let count = if rng.u8(..20) == 0 { 130 } else { rng.usize(1..6) };
    let known: Vec<String> = service.state().tokens.iter().filter_map(|made| made.name.clone()).collect();
    for _ in 0..count {
        let name = match rng.u8(..5) {
            0 => None,
            1 => Some(["job", "job-", "job-1", "gettone", ""][rng.usize(..5)].to_owned()),
            2 => Some(format!("job-{:032x}", rng.u128(..))),
            _ => known.get(rng.usize(..known.len().max(1))).map(|name| format!("{name}0")),
        };
        let ttl = [u64::from(TTL), 90 * 86_400, u64::from(TTL) + rng.u64(..5)][rng.usize(..3)];
        let token = format!("foreign-{:x}", rng.u64(..));
        service.put(&token, name.as_deref(), SETS[[0, 1, 3][rng.usize(..3)]], ttl);
    }
}

fn foreign(service: &FakeAccount) -> Vec<Made> {
    service.state().tokens.iter().filter(|made| made.by == "somebody").cloned().collect()
}

#[test]
fn in_a_thousand_schedules_no_foreign_token_is_touched_and_no_token_left_behind() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let alone = std::env::var("GETTONE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let (mut sum, mut broken) = (Sum::default(), Vec::new());
    runtime.block_on(async {
        let (service, http) = (FakeAccount::start().await, keeping_http());
        for seed in alone.map_or(0..1_000, |seed| seed..seed + 1) {
            // The clients draw the same names each time too.
            fastrand::seed(seed);
            service.reset();
            let mut trail = Vec::new();
            if let Err(why) = schedule(&service, &http, &mut Rng::with_seed(!seed), &mut sum, &mut trail).await {
                broken.push(format!("seed {seed}: {why}"));
            }
            if alone.is_some() {
                println!("{}\n{:#?}", trail.join("\n"), service.requests());
            }
        }
    });
    println!("{sum:?}");
    assert!(broken.is_empty(), "{} broken\n{}", broken.len(), broken.join("\n"));
    // The schedules prove something only if tokens are created, lost, found and extended.
    let least = [sum.returned, sum.failed, sum.created, sum.extended, sum.listed, sum.lost, sum.revoked];
    assert!(alone.is_some() || least.iter().all(|number| *number >= 1_000), "{sum:?}");
}

async fn schedule(
    service: &FakeAccount,
    http: &reqwest::Client,
    rng: &mut Rng,
    sum: &mut Sum,
    trail: &mut Vec<String>,
) -> Result<(), String> {
    {
        let mut state = service.state();
        state.catalog = enabled(&[X, Y]);
        state.patching = [Patching::Keeps, Patching::Keeps, Patching::Renames, Patching::DoesNotExtend][rng.usize(..4)];
        state.lag = [0, 0, 0, 3, 9][rng.usize(..5)];
        state.wraps = rng.bool();
        state.ahead = [0, 0, 5_000][rng.usize(..3)];
        state.empty_is_missing = rng.bool();
        state.omits = if rng.u8(..4) == 0 { vec!["scopes", "refreshToken", "createdAt"] } else { vec![] };
    }
    let mut programs = [program(service, rng, http, "one/1"), program(service, rng, http, "two/1")];
    put_foreign(service, rng);
    let mut before = foreign(service);
    // The program that calls once a token is in its refresh window, and the scopes that it calls for.
    let mut due: Option<(usize, usize)> = None;
    for _ in 0..16 {
        let now_due = due.take();
        let which = now_due.map_or_else(|| rng.usize(..2), |(which, _)| which);
        let act = if now_due.is_some() { 0 } else { rng.u8(..100) };
        match act {
            0..40 => {
                plan_faults(service, rng, trail);
                let first = now_due.map(|(_, key)| key);
                let keys = [first, None].map(|key| key.unwrap_or_else(|| rng.usize(..SETS.len())));
                let both = rng.u8(..4) == 0;
                trail.push(format!("token {which} {keys:?} both {both}"));
                let [one, two] = &programs;
                let (first, second) = if which == 0 { (one, two) } else { (two, one) };
                let results = if both {
                    let (one, two) = (set(SETS[keys[0]]), set(SETS[keys[1]]));
                    let (one, two) = tokio::join!(first.oauth.token(&one), second.oauth.token(&two));
                    vec![(which, keys[0], one), (1 - which, keys[1], two)]
                } else {
                    vec![(which, keys[0], first.oauth.token(&set(SETS[keys[0]])).await)]
                };
                for (which, key, result) in results {
                    programs[which].oauth.wait_idle().await;
                    match result {
                        Ok(token) => {
                            sum.returned += 1;
                            let maker = maker(service, &token);
                            if maker.is_some_and(|maker| maker != programs[which].by) {
                                return Err(format!("{which} got {} of another", token.expose()));
                            }
                            (programs[which].last, programs[which].key) = (Some(token), key);
                        }
                        Err(_) => sum.failed += 1,
                    }
                }
            }
            40..65 => {
                let ttl = u64::from(TTL);
                let ends = programs[which].last.as_ref().and_then(|token| end_of(service, token));
                let left = ends.map_or(ttl, |end| end.saturating_sub(service.service_time()));
                let is_soon_due = rng.u8(..10) < 7;
                due = is_soon_due.then_some((which, programs[which].key));
                let seconds = match is_soon_due {
                    true => left.saturating_sub([500, 300, 60, 12][rng.usize(..4)]),
                    false => [1, 7, 20, 61, 700, 1_300, ttl, 2 * ttl][rng.usize(..8)],
                };
                trail.push(format!("advance {seconds}"));
                service.seconds(seconds);
            }
            65..75 => {
                trail.push(format!("invalidate {which}"));
                if let Some(token) = &programs[which].last {
                    programs[which].oauth.invalidate(token);
                }
            }
            75..80 => {
                trail.push(format!("somebody deletes a token of {which}"));
                let by = programs[which].by;
                let own: Vec<String> =
                    service.state().tokens.iter().filter(|made| made.by == by).map(|made| made.token.clone()).collect();
                if !own.is_empty() {
                    let gone = &own[rng.usize(..own.len())];
                    service.state().tokens.retain(|made| made.token != *gone);
                }
            }
            80..88 => {
                plan_faults(service, rng, trail);
                by_hand(service, rng, &programs[which], trail).await;
            }
            88..91 => {
                trail.push("somebody creates tokens".to_owned());
                put_foreign(service, rng);
                before = foreign(service);
            }
            91..93 => {
                trail.push(format!("clear {which}"));
                programs[which].oauth.clear().await.unwrap();
            }
            _ => {
                plan_faults(service, rng, trail);
                trail.push(format!("revoke {which}"));
                sum.revoked += programs[which].oauth.revoke_created().await.unwrap_or_default();
            }
        }
        service.state().faults.clear();
    }
    // Until the service lists all tokens.
    service.seconds(10);
    for program in &programs {
        trail.push(format!("the end of {}", program.by));
        sum.revoked += program.oauth.revoke_created().await.map_err(|error| format!("revoke_created: {error}"))?;
    }
    sum.lost += service.state().lost;
    sum.created += service.count("POST");
    sum.extended += service.count("PATCH");
    sum.listed += service.count("GET /tokens");
    let now = service.service_time();
    let orphans: Vec<Made> =
        service.state().tokens.iter().filter(|made| made.by != "somebody" && made.expire > now).cloned().collect();
    if !orphans.is_empty() {
        return Err(format!("left behind: {orphans:?}"));
    }
    if foreign(service) != before {
        return Err("a foreign token was touched".to_owned());
    }
    let strayed = std::mem::take(&mut service.state().strayed);
    if strayed.is_empty() { Ok(()) } else { Err(format!("{strayed:?}")) }
}

/// Returns who created a token, if it has not been deleted.
fn maker(service: &FakeAccount, token: &AccessToken) -> Option<String> {
    let state = service.state();
    state.tokens.iter().find(|made| made.token == token.expose()).map(|made| made.by.clone())
}

fn end_of(service: &FakeAccount, token: &AccessToken) -> Option<u64> {
    let state = service.state();
    state.tokens.iter().find(|made| made.token == token.expose()).map(|made| made.expire)
}

fn plan_faults(service: &FakeAccount, rng: &mut Rng, trail: &mut Vec<String>) {
    const LOST: [Fault; 4] = [Fault::LostResponse, Fault::Truncated, Fault::Broken, Fault::Undecodable];
    const UNSENT: [Fault; 6] = [
        Fault::LostRequest,
        Fault::Status(500),
        Fault::Status(502),
        Fault::Status(404),
        Fault::Code(422, 90),
        Fault::Throttled(5),
    ];
    for _ in 0..rng.usize(..4) {
        let begin = ["POST", "POST", "PATCH", "GET /tokens", "DELETE", "GET /scopes"][rng.usize(..6)];
        let fault = if rng.bool() { LOST[rng.usize(..4)] } else { UNSENT[rng.usize(..6)] };
        trail.push(format!("fail {begin} {fault:?}"));
        service.fail(begin, [fault]);
    }
}

/// The program deletes or refreshes its token by hand, and perhaps drops the call.
async fn by_hand(service: &FakeAccount, rng: &mut Rng, program: &Program, trail: &mut Vec<String>) {
    let Some(token) = &program.last else { return };
    let refresh_token = {
        let state = service.state();
        state.tokens.iter().find(|made| made.token == token.expose()).map(|made| made.refresh_token.clone())
    };
    let polls = if rng.u8(..3) == 0 { rng.usize(..60) } else { usize::MAX };
    let refreshes = refresh_token.filter(|_| rng.bool());
    trail.push(format!("by hand {} {refreshes:?} {polls}", token.expose()));
    let call = async {
        match refreshes {
            Some(refresh_token) => {
                program.oauth.refresh_token(token, &RefreshToken::new(refresh_token)).await.map(drop)
            }
            None => program.oauth.delete_token(token).await,
        }
    };
    let cut = async {
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = call => {}
        () = cut => {}
    }
    // A call that was dropped may still be carried out.
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    program.oauth.wait_idle().await;
}
