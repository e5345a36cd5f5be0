//! Two processes with one pair and one store, in random orders.

use std::collections::HashMap;

use fastrand::Rng;
use gettone::openapi::v2::{RefreshClient, RefreshCredentials};
use gettone::store::MemoryStore;
use gettone::{AccessToken, reqwest};

use crate::account_v2::{FakeAccount, Fault, keeping_http};
use crate::{BASE, DAY, LOST, pair};

/// What happened in all schedules.
#[derive(Debug, Default)]
struct Sum {
    returned: usize,
    refreshed: usize,
    failed: usize,
    restarted: usize,
    /// Schedules in which the pair was lost.
    lost: usize,
}

#[test]
fn in_a_thousand_schedules_no_refresh_token_is_sent_again_after_its_answer() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let alone = std::env::var("GETTONE_SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    let (mut sum, mut broken) = (Sum::default(), Vec::new());
    runtime.block_on(async {
        let (service, http) = (FakeAccount::start().await, keeping_http());
        for seed in alone.map_or(0..1_000, |seed| seed..seed + 1) {
            fastrand::seed(seed);
            service.reset();
            let mut trail = Vec::new();
            if let Err(why) = schedule(&service, &http, &mut Rng::with_seed(!seed), &mut sum, &mut trail).await {
                broken.push(format!("seed {seed}: {why}"));
            }
            if alone.is_some() {
                println!("{}\n{:#?}", trail.join("\n"), service.state().asked);
            }
        }
    });
    println!("{sum:?}");
    assert!(broken.is_empty(), "{} broken\n{}", broken.len(), broken.join("\n"));
    let least = [sum.returned, sum.refreshed, sum.failed, sum.restarted, sum.lost];
    assert!(alone.is_some() || least.iter().all(|number| *number >= 50), "{sum:?}");
}

struct World<'a> {
    service: &'a FakeAccount,
    http: &'a reqwest::Client,
    credentials: RefreshCredentials,
    store: MemoryStore,
    /// How many processes there have been.
    started: usize,
}

impl World<'_> {
    /// Starts a process, which its `User-Agent` tells apart from those before it.
    fn start(&mut self) -> RefreshClient {
        self.started += 1;
        let builder = self.service.worker(self.credentials.clone()).http_client(self.http.clone());
        builder.user_agent(format!("p{}/1", self.started)).store(self.store.clone()).build().unwrap()
    }
}

async fn schedule(
    service: &FakeAccount,
    http: &reqwest::Client,
    rng: &mut Rng,
    sum: &mut Sum,
    trail: &mut Vec<String>,
) -> Result<(), String> {
    service.put("t0", Some("worker"), &[BASE], DAY);
    service.state().tokens[0].refresh_token = "r0".to_owned();
    service.state().wraps = rng.bool();
    let credentials = pair(service, rng.bool());
    let mut world = World { service, http, credentials, store: MemoryStore::new(), started: 0 };
    let mut workers = [world.start(), world.start()];
    let mut last: [Option<AccessToken>; 2] = [None, None];
    // Whether anything but good answers may have happened to the pair, and whether it was refreshed before that was due.
    let (mut was_harmed, mut was_early) = (false, false);
    for _ in 0..20 {
        let which = rng.usize(..2);
        match rng.u8(..100) {
            0..50 => {
                let harmful = [
                    Fault::LostResponse,
                    Fault::LostRequest,
                    Fault::Truncated,
                    Fault::Broken,
                    Fault::Code(401, 130),
                    Fault::Status(503),
                ];
                let planned = match rng.u8(..12) {
                    0 => Some(harmful[rng.usize(..harmful.len())]),
                    1..5 => Some(Fault::Throttled(3)),
                    _ => None,
                };
                service.fail("PATCH", planned);
                trail.push(format!("{planned:?}"));
                trail.push(format!("token {which}"));
                let both = rng.u8(..3) == 0;
                let current = service.living();
                let results = if both {
                    let (one, two) = tokio::join!(workers[0].token(), workers[1].token());
                    vec![(0, one), (1, two)]
                } else {
                    vec![(which, workers[which].token().await)]
                };
                for worker in &workers {
                    worker.wait_idle().await;
                }
                let has_happened = service.state().faults.is_empty();
                was_harmed |= has_happened && planned.is_some_and(|fault| harmful.contains(&fault));
                service.state().faults.clear();
                for (which, result) in results {
                    match result {
                        Ok(token) => {
                            sum.returned += 1;
                            // With good answers alone, a process that had the valid token does not get it when its refresh has ended
                            // it. (One that had not may get it from the store, and refresh it meanwhile.)
                            let had_current = last[which].as_ref().is_some_and(|token| current == [token.expose()]);
                            let is_known = !was_harmed && !was_early && !both && had_current;
                            if is_known && !service.living().contains(&token.expose().to_owned()) {
                                return Err(format!("{which} got {}, which has ended", token.expose()));
                            }
                            last[which] = Some(token);
                        }
                        Err(error) => {
                            sum.failed += 1;
                            if !was_harmed && !error.is_rate_limited() {
                                return Err(format!("{which}: {error}"));
                            }
                        }
                    }
                }
            }
            50..75 => {
                let seconds = [1, 30, 600, DAY - 300, DAY - 60, DAY - 5][rng.usize(..6)];
                trail.push(format!("advance {seconds}"));
                service.seconds(seconds);
                // Only unexpired tokens can be refreshed, as far as is known.
                let now = service.service_time();
                service.state().tokens.iter_mut().for_each(|made| made.expire = made.expire.max(now + 60));
            }
            75..85 => {
                trail.push(format!("invalidate {which}"));
                if let Some(token) = &last[which] {
                    workers[which].invalidate(token);
                    was_early = true;
                }
            }
            _ => {
                trail.push(format!("restart {which}"));
                workers[which].wait_idle().await;
                (workers[which], last[which]) = (world.start(), None);
                sum.restarted += 1;
            }
        }
    }
    service.seconds(3_600);
    let now = service.service_time();
    service.state().tokens.iter_mut().for_each(|made| made.expire = made.expire.max(now + 60));
    let ended = workers[0].token().await;
    sum.lost += usize::from(ended.is_err());
    if let Err(error) = &ended
        && !was_harmed
    {
        return Err(format!("lost without a reason: {error}"));
    }
    if ended
        .is_err_and(|error| error.is_invalid_grant() && error.status().is_none() && !error.to_string().contains(LOST))
    {
        return Err("an error that does not say what to do".to_owned());
    }
    check_sent(service, sum)
}

/// Checks who sent which refresh token, and when.
fn check_sent(service: &FakeAccount, sum: &mut Sum) -> Result<(), String> {
    let asked = service.state().asked.clone();
    let mut of_process: HashMap<(String, String), usize> = HashMap::new();
    let resent = service.state().resent.clone();
    if !resent.is_empty() {
        return Err(format!("{resent:?} sent again after their answers"));
    }
    for request in &asked {
        if !request.line.starts_with("PATCH") {
            return Err(format!("another request: {}", request.line));
        }
        if let Some(Fault::Throttled(_)) = request.fault {
            continue;
        }
        sum.refreshed += 1;
        let times = of_process.entry((request.by.clone(), request.authorization.clone())).or_default();
        *times += 1;
        if *times > 1 {
            return Err(format!("{} sent {} twice", request.by, request.authorization));
        }
    }
    match service.refreshed_together() {
        0 | 1 => Ok(()),
        many => Err(format!("{many} refreshes at the same time")),
    }
}
